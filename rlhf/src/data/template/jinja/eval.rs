//! A tree run: statements write text, expressions give values.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::call::Given;
use super::math::{compared, math};
use super::tree::{Args, Expr, For, Macro, Node, Stmt, Target};
use super::value::{self, Closure, Frame, Kind, Loop, Result, Value, spend};
use super::{attributes, call, filters, is, methods, slice};

/// The variable with what stands before `<` and `>` around text of the assistant.
pub const NONCE: &str = "rlhf_generation_nonce";

/// What a statement did besides writing.
#[derive(PartialEq)]
pub enum Flow {
    On,
    Break,
    Continue,
}

pub struct Machine {
    depth: Cell<usize>,
    /// The line of the statement that runs.
    pub line: Cell<usize>,
}

/// Statements and expressions within one another, macros that call macros included. What takes much stack is kept out of
/// the functions that call themselves.
const MOST_DEPTH: usize = 160;

impl Machine {
    pub fn new() -> Machine {
        Machine { depth: Cell::new(0), line: Cell::new(0) }
    }

    fn deeper<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        spend(1)?;
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MOST_DEPTH {
            return Err(format!("it nests deeper than {MOST_DEPTH} calls"));
        }
        let done = run();
        self.depth.set(self.depth.get() - 1);
        done
    }

    pub fn run(&self, body: &[Stmt], frame: &Rc<Frame>, out: &mut String) -> Result<Flow> {
        for stmt in body {
            self.line.set(stmt.line);
            let flow = self.deeper(|| self.statement(&stmt.node, frame, out))?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn write(&self, text: &str, out: &mut String) -> Result<()> {
        value::make(text.len())?;
        out.push_str(text);
        Ok(())
    }

    #[inline(never)]
    fn block(&self, body: &[Stmt], frame: &Rc<Frame>) -> Result<String> {
        let mut text = String::new();
        self.run(body, &Frame::new(Some(frame.clone()), vec![]), &mut text)?;
        Ok(text)
    }

    fn statement(&self, node: &Node, frame: &Rc<Frame>, out: &mut String) -> Result<Flow> {
        match node {
            Node::Text(text) => self.write(text, out)?,
            Node::Print(value) => {
                let value = self.eval(value, frame)?;
                self.write(&value.str()?, out)?;
            }
            Node::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.eval(test, frame)?.is_true() {
                        return self.run(body, frame, out);
                    }
                }
                return self.run(otherwise, frame, out);
            }
            Node::For(code) => {
                let items = self.eval(&code.list, frame)?;
                self.each(code, &items, frame, 0, out)?;
            }
            Node::Set(target, value) => {
                let value = self.eval(value, frame)?;
                self.assign(target, value, frame)?;
            }
            Node::SetBlock(target, filter, body) => {
                let text = value::text(self.block(body, frame)?)?;
                let value = match filter {
                    Some(filter) => self.filtered(filter, text, frame)?,
                    None => text,
                };
                self.assign(target, value, frame)?;
            }
            Node::With(values, body) => {
                let inner = Frame::new(Some(frame.clone()), vec![]);
                for (target, value) in values {
                    let value = self.eval(value, frame)?;
                    self.assign(target, value, &inner)?;
                }
                return self.run(body, &inner, out);
            }
            Node::Macro(code) => frame.set(&code.name, closure(code, frame)),
            Node::Call(call, code) => {
                let Expr::Call(of, args) = call else { unreachable!("the parser sees to it") };
                let (of, mut given) = (self.eval(of, frame)?, self.args(args, frame)?);
                given.named.push(("caller".into(), closure(code, frame)));
                let value = self.call(&of, given)?;
                self.write(&value.str()?, out)?;
            }
            Node::Filter(filter, body) => {
                let text = value::text(self.block(body, frame)?)?;
                let value = self.filtered(filter, text, frame)?;
                self.write(&value.str()?, out)?;
            }
            Node::Generation(body) => {
                let text = self.block(body, frame)?;
                let nonce = frame.get(NONCE).map_or(Ok("".into()), |nonce| nonce.str())?;
                self.write(&format!("{nonce}<{text}{nonce}>"), out)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    #[inline(never)]
    pub fn each(&self, code: &Arc<For>, list: &Value, frame: &Rc<Frame>, depth: usize, out: &mut String) -> Result<()> {
        let mut items = list.items()?;
        if let Some(test) = &code.test {
            let mut kept = vec![];
            for item in items {
                let inner = Frame::new(Some(frame.clone()), vec![]);
                self.assign(&code.target, item.clone(), &inner)?;
                if self.eval(test, &inner)?.is_true() {
                    kept.push(item);
                }
            }
            items = kept;
        }
        let again = code.recursive.then(|| (code.clone(), frame.clone()));
        let state = Rc::new(Loop { items, at: Cell::new(0), depth, changed: RefCell::default(), code: again });
        for (at, item) in state.items.iter().enumerate() {
            state.at.set(at);
            let inner = Frame::new(Some(frame.clone()), vec![("loop".into(), Value::Loop(state.clone()))]);
            self.assign(&code.target, item.clone(), &inner)?;
            if self.run(&code.body, &inner, out)? == Flow::Break {
                return Ok(()); // the else of a loop is for lists of nothing
            }
        }
        if state.items.is_empty() {
            self.run(&code.otherwise, &Frame::new(Some(frame.clone()), vec![]), out)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn assign(&self, target: &Target, value: Value, frame: &Rc<Frame>) -> Result<()> {
        match target {
            Target::Name(name) => frame.set(name, value),
            Target::Attr(name, attribute) => match frame.get(name) {
                Some(Value::Namespace(_)) if attribute.starts_with('_') => {
                    return Err(format!("a namespace cannot have the attribute {attribute:?}"));
                }
                Some(Value::Namespace(vars)) => {
                    if value.depth() >= value::MOST_KEPT {
                        return Err("a namespace keeps a value that nests too deep".into());
                    }
                    let mut vars = vars.borrow_mut();
                    match vars.iter_mut().find(|(there, _)| **there == **attribute) {
                        Some((_, there)) => *there = value,
                        None => vars.push((attribute.as_str().into(), value)),
                    }
                }
                _ => return Err("cannot assign attribute on non-namespace object".into()),
            },
            Target::Tuple(targets) => {
                let items = value.items()?;
                if items.len() != targets.len() {
                    let few = if items.len() < targets.len() { "not enough" } else { "too many" };
                    return Err(format!("{few} values to unpack: {} for {} names", items.len(), targets.len()));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, frame)?;
                }
            }
        }
        Ok(())
    }

    pub fn eval(&self, expr: &Expr, frame: &Rc<Frame>) -> Result<Value> {
        self.deeper(|| self.expression(expr, frame))
    }

    fn all(&self, exprs: &[Expr], frame: &Rc<Frame>) -> Result<Vec<Value>> {
        exprs.iter().map(|expr| self.eval(expr, frame)).collect()
    }

    fn expression(&self, expr: &Expr, frame: &Rc<Frame>) -> Result<Value> {
        Ok(match expr {
            Expr::None => Value::None,
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Int(value) => Value::Int(*value),
            Expr::Float(value) => Value::Float(*value),
            Expr::Str(text) => value::text(text)?,
            Expr::Name(name) => match frame.get(name).or_else(|| call::global(name)) {
                Some(value) => value,
                None => Value::undefined(&format!("'{name}'")),
            },
            Expr::List(items) => value::list(self.all(items, frame)?)?,
            Expr::Tuple(items) => value::seq(Kind::Tuple, self.all(items, frame)?)?,
            Expr::Dict(entries) => {
                let entry = |(key, value): &(Expr, Expr)| Ok((self.eval(key, frame)?, self.eval(value, frame)?));
                value::dict(entries.iter().map(entry).collect::<Result<_>>()?)?
            }
            Expr::Attr(of, name) => attributes::attribute(&self.eval(of, frame)?, name)?,
            Expr::Item(of, key) => attributes::item(&self.eval(of, frame)?, &self.eval(key, frame)?)?,
            Expr::Slice(of, parts) => {
                let of = self.eval(of, frame)?;
                let part = |part: &Option<Box<Expr>>| part.as_ref().map(|part| self.eval(part, frame)).transpose();
                slice::slice(&of, [part(&parts[0])?, part(&parts[1])?, part(&parts[2])?])?
            }
            Expr::Call(of, args) => {
                let of = self.eval(of, frame)?;
                let given = self.args(args, frame)?;
                self.call(&of, given)?
            }
            Expr::Filter(Some(of), name, args) => {
                let of = self.eval(of, frame)?;
                filters::filter(name, of, self.args(args, frame)?)?
            }
            Expr::Filter(None, ..) => unreachable!("filters of blocks are given their text"),
            Expr::Test(of, name, args) => {
                let of = self.eval(of, frame)?;
                Value::Bool(is::test(name, &of, &self.args(args, frame)?)?)
            }
            Expr::Neg(of) => match self.eval(of, frame)? {
                Value::Float(value) => Value::Float(-value),
                value => match value.defined()?.as_int() {
                    Some(value) => Value::Int(-value),
                    None => return Err(format!("bad operand type for unary -: '{}'", value.kind())),
                },
            },
            Expr::Pos(of) => match self.eval(of, frame)? {
                Value::Float(value) => Value::Float(value),
                value => match value.defined()?.as_int() {
                    Some(value) => Value::Int(value),
                    None => return Err(format!("bad operand type for unary +: '{}'", value.kind())),
                },
            },
            Expr::Not(of) => Value::Bool(!self.eval(of, frame)?.is_true()),
            Expr::And(a, b) => {
                let left = self.eval(a, frame)?;
                if left.is_true() { self.eval(b, frame)? } else { left }
            }
            Expr::Or(a, b) => {
                let left = self.eval(a, frame)?;
                if left.is_true() { left } else { self.eval(b, frame)? }
            }
            Expr::Math(op, a, b) => math(op, &self.eval(a, frame)?, &self.eval(b, frame)?)?,
            Expr::Concat(parts) => {
                let mut out = String::new();
                for part in parts {
                    out += &self.eval(part, frame)?.str()?;
                }
                value::text(out)?
            }
            Expr::Compare(first, others) => {
                let mut left = self.eval(first, frame)?;
                for (op, right) in others {
                    let right = self.eval(right, frame)?;
                    if !compared(op, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Expr::If(test, value, otherwise) => match (self.eval(test, frame)?.is_true(), otherwise) {
                (true, _) => self.eval(value, frame)?,
                (false, Some(otherwise)) => self.eval(otherwise, frame)?,
                (false, None) => {
                    Value::undefined("the inline if-expression evaluated to false and no else section was defined: it")
                }
            },
        })
    }

    #[inline(never)]
    fn args(&self, args: &Args, frame: &Rc<Frame>) -> Result<Given> {
        let mut given = Given { positional: self.all(&args.positional, frame)?, named: vec![] };
        for (name, value) in &args.named {
            given.named.push((name.clone(), self.eval(value, frame)?));
        }
        if let Some(list) = &args.list {
            given.positional.extend(self.eval(list, frame)?.items()?);
        }
        if let Some(dict) = &args.dict {
            let Value::Dict(dict) = self.eval(dict, frame)? else { return Err("what follows ** is no dict".into()) };
            for (name, value) in &dict.items {
                given.named.push((name.as_str().ok_or("keywords must be strings")?.to_string(), value.clone()));
            }
        }
        Ok(given)
    }

    /// A filter's chain, of which the first is given a text.
    #[inline(never)]
    fn filtered(&self, chain: &Expr, text: Value, frame: &Rc<Frame>) -> Result<Value> {
        let Expr::Filter(of, name, args) = chain else { return Err("only filters can stand here".into()) };
        let of = match of {
            Some(of) => self.filtered(of, text, frame)?,
            None => text,
        };
        filters::filter(name, of, self.args(args, frame)?)
    }

    pub fn call(&self, of: &Value, given: Given) -> Result<Value> {
        self.deeper(|| match of {
            Value::Macro(closure) => self.expand(closure, given),
            Value::Method(of, name) => methods::call(of, name, given),
            Value::Function(name) => call::function(name, given),
            Value::Loop(state) => {
                let Some((code, frame)) = &state.code else { return Err("the loop is not recursive".into()) };
                let mut out = String::new();
                self.each(code, &given.one("loop")?, frame, state.depth + 1, &mut out)?;
                value::text(out)
            }
            other => Err(format!("'{}' object is not callable", other.defined()?.kind())),
        })
    }

    #[inline(never)]
    fn expand(&self, closure: &Closure, given: Given) -> Result<Value> {
        let code = &closure.code;
        let around = closure.frame.upgrade().ok_or("a macro is called after its block has ended")?;
        let frame = Frame::new(Some(around), vec![]);
        let [takes_list, takes_dict, takes_caller] = code.takes;
        let Given { positional, mut named } = given;
        let without = code.params.len() - code.defaults.len();
        for (at, param) in code.params.iter().enumerate() {
            let name = named.iter().position(|(name, _)| name == param);
            let value = match (positional.get(at), name) {
                (Some(_), Some(_)) => return Err(format!("macro {:?} got two values for {param:?}", code.name)),
                (Some(value), None) => value.clone(),
                (None, Some(at)) => named.remove(at).1,
                (None, None) if at >= without => self.eval(&code.defaults[at - without], &frame)?,
                (None, None) => Value::undefined(&format!("parameter '{param}' was not provided: it")),
            };
            frame.set(param, value);
        }
        if takes_caller || named.iter().any(|(name, _)| name == "caller") {
            match named.iter().position(|(name, _)| name == "caller") {
                Some(at) if takes_caller => frame.set("caller", named.remove(at).1),
                Some(_) if takes_dict => {}
                Some(_) => {
                    return Err(format!(
                        "macro {:?} was invoked with two values for the special caller argument or takes none",
                        code.name
                    ));
                }
                None => frame.set("caller", Value::undefined("No caller defined: it")),
            }
        }
        let more = positional.get(code.params.len()..).unwrap_or(&[]);
        if takes_list {
            frame.set("varargs", value::seq(Kind::Tuple, more.to_vec())?);
        } else if !more.is_empty() {
            return Err(format!("macro '{}' takes not more than {} argument(s)", code.name, code.params.len()));
        }
        if takes_dict {
            let entries =
                named.into_iter().map(|(name, value)| Ok((value::text(name)?, value))).collect::<Result<_>>()?;
            frame.set("kwargs", value::dict(entries)?);
        } else if let Some((name, _)) = named.first() {
            return Err(format!("macro '{}' takes no keyword argument '{name}'", code.name));
        }
        let line = self.line.get();
        let mut out = String::new();
        self.run(&code.body, &frame, &mut out)?;
        self.line.set(line);
        value::text(out)
    }
}

fn closure(code: &Arc<Macro>, frame: &Rc<Frame>) -> Value {
    Value::Macro(Rc::new(Closure { code: code.clone(), frame: Rc::downgrade(frame) }))
}
