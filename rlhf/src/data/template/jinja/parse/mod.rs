//! Tokens to a tree. Whoever wrote the template is a stranger: it nests so deep and no deeper.

mod expressions;

use super::lex::{Token, tokens};
use super::tree::{Expr, For, Macro, Node, Stmt, Target};

/// Deeper templates are refused: each level takes stack.
const MOST_DEPTH: usize = 120;
const MOST_TOKENS: usize = 400_000;

pub struct Parsed {
    pub body: Vec<Stmt>,
    pub marks_completions: bool,
}

pub fn parse(source: &str) -> Result<Parsed, String> {
    let tokens = tokens(source)?;
    if tokens.len() > MOST_TOKENS {
        return Err(format!("it has more than {MOST_TOKENS} tokens"));
    }
    let mut parser = Parser { tokens, at: 0, depth: 0, loops: 0, marks_completions: false, names: vec![] };
    let body = parser.statements(&[])?;
    Ok(Parsed { body, marks_completions: parser.marks_completions })
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
    loops: usize,
    marks_completions: bool,
    /// Names read so far, to see what a macro mentions.
    names: Vec<String>,
}

type Parse<T> = Result<T, String>;

impl Parser {
    fn now(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn line(&self) -> usize {
        self.tokens[self.at].1
    }

    fn fail<T>(&self, what: impl std::fmt::Display) -> Parse<T> {
        Err(format!("{what} (line {} of the template)", self.line()))
    }

    fn next(&mut self) -> Token {
        let token = self.now().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.now(), Token::Op(now) if *now == op)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.now(), Token::Name(now) if now == name)
    }

    fn skip_op(&mut self, op: &str) -> bool {
        let is = self.is_op(op);
        self.at += is as usize;
        is
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let is = self.is_name(name);
        self.at += is as usize;
        is
    }

    fn expect_op(&mut self, op: &str) -> Parse<()> {
        if self.skip_op(op) { Ok(()) } else { self.fail(format!("expected {op:?}, found {}", shown(self.now()))) }
    }

    fn expect(&mut self, token: &Token) -> Parse<()> {
        match self.now() == token {
            true => {
                self.next();
                Ok(())
            }
            false => self.fail(format!("expected {}, found {}", shown(token), shown(self.now()))),
        }
    }

    fn name(&mut self) -> Parse<String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => {
                self.at -= 1;
                self.fail(format!("expected a name, found {}", shown(&other)))
            }
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Parser) -> Parse<T>) -> Parse<T> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return self.fail(format!("it nests deeper than {MOST_DEPTH} levels"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// One more link of a chain, which nests as deep as it is long.
    fn link(&self, links: &mut usize) -> Parse<()> {
        *links += 1;
        match *links + self.depth > MOST_DEPTH {
            true => self.fail(format!("a chain of more than {MOST_DEPTH} operations")),
            false => Ok(()),
        }
    }

    /// Up to one of the tags, which stays.
    fn statements(&mut self, ends: &[&str]) -> Parse<Vec<Stmt>> {
        let mut body = vec![];
        loop {
            let line = self.line();
            match self.now().clone() {
                Token::Text(text) => {
                    self.next();
                    body.push(Stmt { node: Node::Text(text), line });
                }
                Token::Print => {
                    self.next();
                    let value = self.tuple(true, &[])?;
                    self.expect(&Token::PrintEnd)?;
                    body.push(Stmt { node: Node::Print(value), line });
                }
                Token::Tag => {
                    self.next();
                    if ends.iter().any(|end| self.is_name(end)) {
                        return Ok(body);
                    }
                    let node = self.deeper(|parser| parser.statement())?;
                    body.push(Stmt { node, line });
                }
                Token::End if ends.is_empty() => return Ok(body),
                Token::End => return self.fail(format!("it ends where {} is expected", ends.join(" or "))),
                other => return self.fail(format!("unexpected {}", shown(&other))),
            }
        }
    }

    /// The body of a tag and its end.
    fn body(&mut self, end: &str) -> Parse<Vec<Stmt>> {
        self.expect(&Token::TagEnd)?;
        let body = self.statements(&[end])?;
        self.next();
        self.expect(&Token::TagEnd)?;
        Ok(body)
    }

    fn statement(&mut self) -> Parse<Node> {
        let name = self.name()?;
        match name.as_str() {
            "if" => self.conditional(),
            "for" => self.loop_(),
            "set" => self.set(),
            "with" => self.with(),
            "macro" => {
                let name = self.name()?;
                Ok(Node::Macro(self.macro_(name, "endmacro")?.into()))
            }
            "call" => {
                let params = match self.is_op("(") {
                    true => self.params()?,
                    false => (vec![], vec![]),
                };
                let call = self.expression()?;
                if !matches!(call, Expr::Call(..)) {
                    return self.fail("expected a call");
                }
                Ok(Node::Call(call, self.macro_of("caller".into(), params, "endcall")?.into()))
            }
            "filter" => {
                let filter = self.filters(None, true)?;
                Ok(Node::Filter(filter, self.body("endfilter")?))
            }
            "generation" => {
                self.marks_completions = true;
                Ok(Node::Generation(self.body("endgeneration")?))
            }
            "break" | "continue" if self.loops > 0 => {
                self.expect(&Token::TagEnd)?;
                Ok(if name == "break" { Node::Break } else { Node::Continue })
            }
            "print" => {
                let value = self.tuple(true, &[])?;
                self.expect(&Token::TagEnd)?;
                Ok(Node::Print(if let Expr::Tuple(parts) = value { Expr::Concat(parts) } else { value }))
            }
            other => {
                self.at -= 1;
                self.fail(format!("the tag {other:?} is not known in a chat template"))
            }
        }
    }

    fn conditional(&mut self) -> Parse<Node> {
        let (mut branches, mut otherwise) = (vec![], vec![]);
        loop {
            let test = self.tuple(false, &[])?;
            self.expect(&Token::TagEnd)?;
            branches.push((test, self.statements(&["elif", "else", "endif"])?));
            let end = self.name()?;
            if end == "elif" {
                continue;
            }
            if end == "else" {
                otherwise = self.body("endif")?;
            } else {
                self.expect(&Token::TagEnd)?;
            }
            return Ok(Node::If(branches, otherwise));
        }
    }

    fn loop_(&mut self) -> Parse<Node> {
        let target = self.targets(&["in"], false)?;
        if !self.skip_name("in") {
            return self.fail("expected \"in\"");
        }
        let list = self.tuple(false, &["recursive"])?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.expect(&Token::TagEnd)?;
        self.loops += 1;
        let body = self.statements(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = match self.name()?.as_str() {
            "else" => self.body("endfor")?,
            _ => {
                self.expect(&Token::TagEnd)?;
                vec![]
            }
        };
        Ok(Node::For(For { target, list, test, body, otherwise, recursive }.into()))
    }

    fn set(&mut self) -> Parse<Node> {
        let target = self.targets(&[], true)?;
        if self.skip_op("=") {
            let value = self.tuple(true, &[])?;
            self.expect(&Token::TagEnd)?;
            return Ok(Node::Set(target, value));
        }
        let filter = if self.is_op("|") { Some(self.filters(None, false)?) } else { None };
        Ok(Node::SetBlock(target, filter, self.body("endset")?))
    }

    fn with(&mut self) -> Parse<Node> {
        let mut values = vec![];
        while *self.now() != Token::TagEnd {
            if !values.is_empty() {
                self.expect_op(",")?;
            }
            let target = Target::Name(self.name()?);
            self.expect_op("=")?;
            values.push((target, self.expression()?));
        }
        Ok(Node::With(values, self.body("endwith")?))
    }

    fn targets(&mut self, ends: &[&str], attributes: bool) -> Parse<Target> {
        let (mut all, mut is_tuple) = (vec![], false);
        loop {
            if self.skip_op("(") {
                all.push(self.deeper(|parser| parser.targets(&[], attributes))?);
                self.expect_op(")")?;
            } else {
                let name = self.name()?;
                if ["true", "false", "none", "True", "False", "None"].contains(&name.as_str()) {
                    return self.fail(format!("cannot assign to {name:?}"));
                }
                all.push(match attributes && self.skip_op(".") {
                    true => Target::Attr(name, self.name()?),
                    false => Target::Name(name),
                });
            }
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
            if ends.iter().any(|end| self.is_name(end)) || self.is_op("=") || self.is_op(")") {
                break;
            }
        }
        Ok(if is_tuple { Target::Tuple(all) } else { all.swap_remove(0) })
    }

    fn params(&mut self) -> Parse<(Vec<String>, Vec<Expr>)> {
        let (mut params, mut defaults) = (vec![], vec![]);
        self.expect_op("(")?;
        while !self.is_op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
            }
            params.push(self.name()?);
            if self.skip_op("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return self.fail("a parameter without a default after one with it");
            }
        }
        self.expect_op(")")?;
        Ok((params, defaults))
    }

    fn macro_(&mut self, name: String, end: &str) -> Parse<Macro> {
        let params = self.params()?;
        self.macro_of(name, params, end)
    }

    fn macro_of(&mut self, name: String, (params, defaults): (Vec<String>, Vec<Expr>), end: &str) -> Parse<Macro> {
        let (loops, names) = (std::mem::take(&mut self.loops), self.names.len());
        let body = self.body(end)?;
        self.loops = loops;
        let takes = ["varargs", "kwargs", "caller"].map(|special| {
            self.names[names..].iter().any(|name| name == special) && !params.iter().any(|param| param == special)
        });
        Ok(Macro { name, params, defaults, body, takes })
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Text(_) => "text".into(),
        Token::Print => "\"{{\"".into(),
        Token::PrintEnd => "\"}}\"".into(),
        Token::Tag => "\"{%\"".into(),
        Token::TagEnd => "\"%}\"".into(),
        Token::Name(name) => format!("{name:?}"),
        Token::Text_(text) => format!("the string {:?}", text.chars().take(30).collect::<String>()),
        Token::Int(value) => value.to_string(),
        Token::Float(value) => value.to_string(),
        Token::Op(op) => format!("{op:?}"),
        Token::End => "the end".into(),
    }
}
