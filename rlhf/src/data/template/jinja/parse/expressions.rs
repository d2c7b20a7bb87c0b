//! Expressions, by jinja2's order of precedence.

use super::{Parse, Parser, shown};
use crate::data::template::jinja::lex::Token;
use crate::data::template::jinja::tree::{Args, Expr};

impl Parser {
    pub fn expression(&mut self) -> Parse<Expr> {
        self.condition(true)
    }

    /// Expressions with commas between them.
    pub fn tuple(&mut self, conditional: bool, ends: &[&str]) -> Parse<Expr> {
        let (mut all, mut is_tuple) = (vec![], false);
        loop {
            if !all.is_empty() {
                if !self.skip_op(",") {
                    break;
                }
                is_tuple = true;
            }
            let ended = matches!(self.now(), Token::PrintEnd | Token::TagEnd) || self.is_op(")");
            if !all.is_empty() && (ended || ends.iter().any(|end| self.is_name(end))) {
                break;
            }
            all.push(self.condition(conditional)?);
        }
        Ok(if is_tuple { Expr::Tuple(all) } else { all.swap_remove(0) })
    }

    fn condition(&mut self, conditional: bool) -> Parse<Expr> {
        self.deeper(|parser| {
            let mut value = parser.or()?;
            let mut links = 0;
            while conditional && parser.skip_name("if") {
                parser.link(&mut links)?;
                let test = parser.or()?;
                let otherwise = if parser.skip_name("else") { Some(Box::new(parser.condition(true)?)) } else { None };
                value = Expr::If(Box::new(test), Box::new(value), otherwise);
            }
            Ok(value)
        })
    }

    fn or(&mut self) -> Parse<Expr> {
        let (mut left, mut links) = (self.and()?, 0);
        while self.skip_name("or") {
            self.link(&mut links)?;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parse<Expr> {
        let (mut left, mut links) = (self.not()?, 0);
        while self.skip_name("and") {
            self.link(&mut links)?;
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Parse<Expr> {
        if self.skip_name("not") {
            return self.deeper(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        let left = self.sum()?;
        let mut others = vec![];
        loop {
            let op = ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|op| self.is_op(op));
            if let Some(op) = op {
                self.next();
                others.push((op, self.sum()?));
            } else if self.skip_name("in") {
                others.push(("in", self.sum()?));
            } else if self.is_name("not")
                && matches!(&self.tokens.get(self.at + 1), Some((Token::Name(n), _)) if n == "in")
            {
                self.at += 2;
                others.push(("not in", self.sum()?));
            } else {
                break;
            }
        }
        Ok(if others.is_empty() { left } else { Expr::Compare(Box::new(left), others) })
    }

    fn chain(&mut self, ops: &[&'static str], part: fn(&mut Parser) -> Parse<Expr>) -> Parse<Expr> {
        let (mut left, mut links) = (part(self)?, 0);
        while let Some(op) = ops.iter().find(|op| self.is_op(op)) {
            self.next();
            self.link(&mut links)?;
            left = Expr::Math(op, Box::new(left), Box::new(part(self)?));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Parse<Expr> {
        self.chain(&["+", "-"], Parser::concat)
    }

    fn concat(&mut self) -> Parse<Expr> {
        let (mut parts, mut links) = (vec![self.product()?], 0);
        while self.skip_op("~") {
            self.link(&mut links)?;
            parts.push(self.product()?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expr::Concat(parts) })
    }

    fn product(&mut self) -> Parse<Expr> {
        self.chain(&["*", "//", "/", "%"], |parser| parser.chain(&["**"], |parser| parser.unary(true)))
    }

    fn unary(&mut self, filters: bool) -> Parse<Expr> {
        self.deeper(|parser| {
            let value = if parser.skip_op("-") {
                Expr::Neg(Box::new(parser.unary(false)?))
            } else if parser.skip_op("+") {
                Expr::Pos(Box::new(parser.unary(false)?))
            } else {
                parser.primary()?
            };
            let value = parser.postfix(value)?;
            if filters { parser.filters(Some(value), false) } else { Ok(value) }
        })
    }

    fn primary(&mut self) -> Parse<Expr> {
        Ok(match self.next() {
            Token::Name(name) => match name.as_str() {
                "true" | "True" => Expr::Bool(true),
                "false" | "False" => Expr::Bool(false),
                "none" | "None" => Expr::None,
                _ => {
                    self.names.push(name.clone());
                    Expr::Name(name)
                }
            },
            Token::Text_(mut text) => {
                while let Token::Text_(more) = self.now().clone() {
                    text += &more;
                    self.next();
                }
                Expr::Str(text)
            }
            Token::Int(value) => Expr::Int(value),
            Token::Float(value) => Expr::Float(value),
            Token::Op("(") => {
                if self.skip_op(")") {
                    return Ok(Expr::Tuple(vec![]));
                }
                let value = self.tuple(true, &[])?;
                self.expect_op(")")?;
                value
            }
            Token::Op("[") => {
                let mut all = vec![];
                while !self.is_op("]") {
                    if !all.is_empty() {
                        self.expect_op(",")?;
                        if self.is_op("]") {
                            break;
                        }
                    }
                    all.push(self.expression()?);
                }
                self.expect_op("]")?;
                Expr::List(all)
            }
            Token::Op("{") => {
                let mut all = vec![];
                while !self.is_op("}") {
                    if !all.is_empty() {
                        self.expect_op(",")?;
                        if self.is_op("}") {
                            break;
                        }
                    }
                    let key = self.expression()?;
                    self.expect_op(":")?;
                    all.push((key, self.expression()?));
                }
                self.expect_op("}")?;
                Expr::Dict(all)
            }
            other => {
                self.at -= 1;
                return self.fail(format!("unexpected {}", shown(&other)));
            }
        })
    }

    fn postfix(&mut self, value: Expr) -> Parse<Expr> {
        let (mut value, mut links) = (value, 0);
        loop {
            if self.skip_op(".") {
                value = match self.next() {
                    Token::Name(name) => Expr::Attr(Box::new(value), name),
                    Token::Int(at) => Expr::Item(Box::new(value), Box::new(Expr::Int(at))),
                    other => return self.fail(format!("expected a name after the dot, found {}", shown(&other))),
                };
            } else if self.skip_op("[") {
                value = self.subscript(value)?;
            } else if self.is_op("(") {
                value = Expr::Call(Box::new(value), self.args()?);
            } else {
                return Ok(value);
            }
            self.link(&mut links)?;
        }
    }

    fn subscript(&mut self, value: Expr) -> Parse<Expr> {
        let mut parts: [Option<Box<Expr>>; 3] = [None, None, None];
        let (mut at, mut slice) = (0, false);
        while !self.is_op("]") {
            if self.skip_op(":") {
                slice = true;
                at += 1;
                if at > 2 {
                    return self.fail("a slice has at most three parts");
                }
                continue;
            }
            if parts[at].is_some() {
                return self.fail(format!("expected \"]\", found {}", shown(self.now())));
            }
            parts[at] = Some(Box::new(self.expression()?));
        }
        self.expect_op("]")?;
        match (slice, parts) {
            (true, parts) => Ok(Expr::Slice(Box::new(value), parts)),
            (false, [Some(at), _, _]) => Ok(Expr::Item(Box::new(value), at)),
            _ => self.fail("expected a subscript"),
        }
    }

    fn args(&mut self) -> Parse<Args> {
        let mut args = Args::default();
        self.expect_op("(")?;
        let mut first = true;
        while !self.is_op(")") {
            if !std::mem::take(&mut first) {
                self.expect_op(",")?;
                if self.is_op(")") {
                    break;
                }
            }
            if self.skip_op("*") {
                args.list = Some(Box::new(self.expression()?));
            } else if self.skip_op("**") {
                args.dict = Some(Box::new(self.expression()?));
            } else if matches!((self.now(), self.tokens.get(self.at + 1)), (Token::Name(_), Some((Token::Op("="), _))))
            {
                let name = self.name()?;
                self.next();
                args.named.push((name, self.expression()?));
            } else if !args.named.is_empty() || args.dict.is_some() {
                return self.fail("an argument without a name after one with it");
            } else {
                args.positional.push(self.expression()?);
            }
        }
        self.expect_op(")")?;
        Ok(args)
    }

    /// Filters, tests and calls behind a value. `bare`: the first filter has no `|` before it.
    pub fn filters(&mut self, value: Option<Expr>, bare: bool) -> Parse<Expr> {
        let (mut value, mut links, mut bare) = (value, 0, bare);
        loop {
            if std::mem::take(&mut bare) || self.skip_op("|") {
                let name = self.dotted()?;
                let args = if self.is_op("(") { self.args()? } else { Args::default() };
                value = Some(Expr::Filter(value.map(Box::new), name, args));
            } else if value.is_some() && self.skip_name("is") {
                value = value.take().map(|of| self.test(of)).transpose()?;
            } else if value.is_some() && self.is_op("(") {
                let args = self.args()?;
                value = value.take().map(|of| Expr::Call(Box::new(of), args));
            } else {
                return value.map_or_else(|| self.fail("expected a filter"), Ok);
            }
            self.link(&mut links)?;
        }
    }

    fn dotted(&mut self) -> Parse<String> {
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.name()?);
        }
        Ok(name)
    }

    fn test(&mut self, value: Expr) -> Parse<Expr> {
        let negated = self.skip_name("not");
        let name = self.dotted()?;
        let args = match self.now() {
            Token::Op("(") => self.args()?,
            Token::Name(next) if ["else", "or", "and", "if"].contains(&next.as_str()) => Args::default(),
            Token::Name(next) if next == "is" => return self.fail("tests cannot be chained with is"),
            Token::Name(_) | Token::Text_(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{") => {
                let of = self.primary()?;
                Args { positional: vec![self.postfix(of)?], ..Args::default() }
            }
            _ => Args::default(),
        };
        let test = Expr::Test(Box::new(value), name, args);
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }
}
