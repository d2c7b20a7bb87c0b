//! What a template computes with: Python's values, which print, compare and add up as they do there. None of them can
//! be changed, as in jinja2's immutable sandbox, but for a namespace.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::tree::{For, Macro};
use crate::data::json::Json;

#[derive(Clone)]
pub enum Value {
    /// A name that is not there.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    Seq(Kind, Rc<Seq>),
    /// What a filter yields, once.
    Gen(Rc<RefCell<std::vec::IntoIter<Value>>>),
    Dict(Rc<Dict>),
    Namespace(Rc<RefCell<Vec<(Rc<str>, Value)>>>),
    Macro(Rc<Closure>),
    /// A method of a value, not called yet.
    Method(Rc<Value>, Rc<str>),
    Function(&'static str),
    Loop(Rc<Loop>),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    List,
    Tuple,
    /// With its end and its step.
    Range(i128, i128),
    /// `dict_keys`, `dict_values`, `dict_items`
    View(&'static str),
}

pub struct Seq {
    pub items: Vec<Value>,
    depth: usize,
}

pub struct Dict {
    pub items: Vec<(Value, Value)>,
    depth: usize,
}

pub struct Closure {
    pub code: Arc<Macro>,
    /// The block it was defined in; weak, because that block holds the macro.
    pub frame: Weak<Frame>,
}

/// A loop while it runs.
pub struct Loop {
    pub items: Vec<Value>,
    pub at: Cell<usize>,
    pub depth: usize,
    pub changed: RefCell<Option<Vec<Value>>>,
    pub code: Option<(Arc<For>, Rc<Frame>)>,
}

/// The names of one block, and those around it.
pub struct Frame {
    vars: RefCell<Vec<(String, Value)>>,
    parent: Option<Rc<Frame>>,
}

impl Frame {
    pub fn new(parent: Option<Rc<Frame>>, vars: Vec<(String, Value)>) -> Rc<Frame> {
        Rc::new(Frame { vars: RefCell::new(vars), parent })
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        let mut frame = Some(self);
        while let Some(now) = frame {
            if let Some((_, value)) = now.vars.borrow().iter().rev().find(|(there, _)| there == name) {
                return Some(value.clone());
            }
            frame = now.parent.as_deref();
        }
        None
    }

    pub fn set(&self, name: &str, value: Value) {
        let mut vars = self.vars.borrow_mut();
        match vars.iter_mut().find(|(there, _)| there == name) {
            Some((_, there)) => *there = value,
            None => vars.push((name.to_string(), value)),
        }
    }
}

pub type Result<T> = std::result::Result<T, String>;

/// Deeper values are refused: to print or drop one takes stack.
const MOST_DEPTH: usize = 100;
/// In a namespace there is none like it, so that nothing holds itself.
pub const MOST_KEPT: usize = 50;

thread_local! {
    /// What the rendering that runs may still do: steps, and bytes to write.
    static LEFT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

pub fn allow(steps: u64, bytes: u64) {
    LEFT.set((steps, bytes));
}

/// Work is counted: a template that does not end is ended.
pub fn spend(steps: usize) -> Result<()> {
    let (left, bytes) = LEFT.get();
    let left = left.checked_sub(steps as u64).ok_or("it takes too long")?;
    LEFT.set((left, bytes));
    Ok(())
}

/// So is what it makes.
pub fn make(bytes: usize) -> Result<()> {
    let (steps, left) = LEFT.get();
    let left = left.checked_sub(bytes as u64).ok_or("it writes too much")?;
    let steps = steps.checked_sub(bytes as u64 / 64 + 1).ok_or("it takes too long")?;
    LEFT.set((steps, left));
    Ok(())
}

/// A text that was counted.
pub fn text(text: impl AsRef<str>) -> Result<Value> {
    make(text.as_ref().len())?;
    Ok(Value::Str(text.as_ref().into()))
}

pub fn seq(kind: Kind, items: Vec<Value>) -> Result<Value> {
    make(items.len() * size_of::<Value>())?;
    let depth = nested(items.iter())?;
    Ok(Value::Seq(kind, Rc::new(Seq { items, depth })))
}

pub fn list(items: Vec<Value>) -> Result<Value> {
    seq(Kind::List, items)
}

pub fn dict(entries: Vec<(Value, Value)>) -> Result<Value> {
    make(entries.len() * 2 * size_of::<Value>())?;
    let mut items: Vec<(Value, Value)> = vec![];
    for (key, value) in entries {
        hashable(&key)?;
        spend(items.len() / 8)?;
        match items.iter_mut().find(|(there, _)| same_key(there, &key)) {
            Some((_, there)) => *there = value,
            None => items.push((key, value)),
        }
    }
    let depth = nested(items.iter().map(|(_, value)| value))?;
    Ok(Value::Dict(Rc::new(Dict { items, depth })))
}

pub fn generator(items: Vec<Value>) -> Result<Value> {
    make(items.len() * size_of::<Value>())?;
    nested(items.iter())?;
    Ok(Value::Gen(Rc::new(RefCell::new(items.into_iter()))))
}

fn nested<'a>(items: impl Iterator<Item = &'a Value>) -> Result<usize> {
    let depth = 1 + items.map(Value::depth).max().unwrap_or(0);
    if depth > MOST_DEPTH { Err(format!("a value nests deeper than {MOST_DEPTH} levels")) } else { Ok(depth) }
}

pub fn hashable(key: &Value) -> Result<()> {
    match key {
        Value::Seq(Kind::Tuple | Kind::Range(..), _) => Ok(()),
        Value::Seq(..) | Value::Dict(_) => Err(format!("unhashable type: '{}'", key.kind())),
        _ => Ok(()),
    }
}

fn same_key(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => a == b,
        _ => equal(a, b).unwrap_or(false),
    }
}

pub fn equal(a: &Value, b: &Value) -> Result<bool> {
    spend(1)?;
    use Value::*;
    Ok(match (a, b) {
        (Undefined(_), Undefined(_)) | (None, None) => true,
        (Str(a), Str(b)) => {
            spend(if a.len() == b.len() { a.len() / 64 } else { 0 })?;
            a == b
        }
        (Seq(a, x), Seq(b, y))
            if (a == b || matches!((a, b), (Kind::Range(..), Kind::Range(..))))
                && !matches!(a, Kind::View("dict_values")) =>
        {
            if x.items.len() != y.items.len() {
                return Ok(false);
            }
            for (a, b) in x.items.iter().zip(&y.items) {
                if !equal(a, b)? {
                    return Ok(false);
                }
            }
            true
        }
        (Dict(x), Dict(_)) => {
            if x.items.len() != b.len()? {
                return Ok(false);
            }
            spend(x.items.len() * x.items.len() / 8)?;
            for (key, value) in &x.items {
                match b.get(key) {
                    Some(other) if equal(value, &other)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Namespace(a), Namespace(b)) => Rc::ptr_eq(a, b),
        (Macro(a), Macro(b)) => Rc::ptr_eq(a, b),
        (Gen(a), Gen(b)) => Rc::ptr_eq(a, b),
        (Loop(a), Loop(b)) => Rc::ptr_eq(a, b),
        (Function(a), Function(b)) => a == b,
        _ => match (a.as_int(), b.as_int()) {
            (Some(a), Some(b)) => a == b,
            _ => matches!((a.as_float(), b.as_float()), (Some(a), Some(b)) if a == b),
        },
    })
}

impl From<&Json> for Value {
    fn from(json: &Json) -> Value {
        match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Value::Int(value.into()),
                (_, Some(value)) => Value::Int(value.into()),
                _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Str(text.as_str().into()),
            Json::Array(items) => {
                let items: Vec<Value> = items.iter().map(Value::from).collect();
                let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
                Value::Seq(Kind::List, Rc::new(Seq { items, depth }))
            }
            Json::Object(object) => {
                let entry = |(key, value): &(String, Json)| (Value::Str(key.as_str().into()), Value::from(value));
                let items: Vec<(Value, Value)> = object.0.iter().map(entry).collect();
                let depth = 1 + items.iter().map(|(_, value)| value.depth()).max().unwrap_or(0);
                Value::Dict(Rc::new(Dict { items, depth }))
            }
        }
    }
}

impl Value {
    pub fn depth(&self) -> usize {
        match self {
            Value::Seq(_, seq) => seq.depth,
            Value::Dict(dict) => dict.depth,
            Value::Method(of, _) => of.depth() + 1,
            // what is in them may change: as deep as may be, but for a little
            Value::Namespace(_) | Value::Macro(_) | Value::Loop(_) | Value::Gen(_) => MOST_KEPT,
            _ => 0,
        }
    }

    /// Python's name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Seq(Kind::List, _) => "list",
            Value::Seq(Kind::Tuple, _) => "tuple",
            Value::Seq(Kind::Range(..), _) => "range",
            Value::Seq(Kind::View(name), _) => name,
            Value::Gen(_) => "generator",
            Value::Dict(_) => "dict",
            Value::Namespace(_) => "Namespace",
            Value::Macro(_) => "Macro",
            Value::Method(..) => "builtin_function_or_method",
            Value::Function(_) => "function",
            Value::Loop(_) => "LoopContext",
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Seq(_, seq) => !seq.items.is_empty(),
            Value::Dict(dict) => !dict.items.is_empty(),
            _ => true,
        }
    }

    pub fn undefined(name: &str) -> Value {
        Value::Undefined(name.into())
    }

    /// The error of one who does something with what is not there.
    pub fn defined(&self) -> Result<&Value> {
        match self {
            Value::Undefined(name) => Err(format!("{name} is undefined")),
            value => Ok(value),
        }
    }

    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(*value as i128),
            _ => None,
        }
    }

    pub fn as_float(&self) -> Option<f64> {
        if let Value::Float(value) = self { Some(*value) } else { self.as_int().map(|value| value as f64) }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = self { Some(text) } else { None }
    }

    pub fn get(&self, key: &Value) -> Option<Value> {
        let Value::Dict(dict) = self else { return None };
        dict.items.iter().find(|(there, _)| same_key(there, key)).map(|(_, value)| value.clone())
    }

    pub fn len(&self) -> Result<usize> {
        match self {
            Value::Undefined(_) => Ok(0),
            Value::Str(text) => {
                spend(text.len() / 64)?;
                Ok(text.chars().count())
            }
            Value::Seq(_, seq) => Ok(seq.items.len()),
            Value::Dict(dict) => Ok(dict.items.len()),
            Value::Loop(it) => Ok(it.items.len()),
            other => Err(format!("object of type '{}' has no len()", other.kind())),
        }
    }

    /// What a loop over it goes through.
    pub fn items(&self) -> Result<Vec<Value>> {
        let items = match self {
            Value::Undefined(_) => vec![],
            Value::Str(text) => {
                make(text.len() * size_of::<Value>())?;
                text.chars().map(|c| Value::Str(c.encode_utf8(&mut [0; 4]).into())).collect()
            }
            Value::Seq(_, seq) => seq.items.clone(),
            Value::Gen(left) => std::mem::take(&mut *left.borrow_mut()).collect(),
            Value::Dict(dict) => dict.items.iter().map(|(key, _)| key.clone()).collect(),
            other => return Err(format!("'{}' object is not iterable", other.kind())),
        };
        make(items.len() * size_of::<Value>())?;
        Ok(items)
    }

    /// As it is printed.
    pub fn str(&self) -> Result<Rc<str>> {
        match self {
            Value::Str(text) => Ok(text.clone()),
            Value::Undefined(_) => Ok("".into()),
            other => {
                let mut out = String::new();
                other.repr_into(&mut out)?;
                make(out.len())?;
                Ok(out.into())
            }
        }
    }

    pub fn repr(&self) -> Result<String> {
        let mut out = String::new();
        self.repr_into(&mut out)?;
        make(out.len())?;
        Ok(out)
    }

    fn repr_into(&self, out: &mut String) -> Result<()> {
        spend(1)?;
        let before = out.len();
        match self {
            Value::Undefined(_) => *out += "Undefined",
            Value::None => *out += "None",
            Value::Bool(value) => *out += if *value { "True" } else { "False" },
            Value::Int(value) => *out += &value.to_string(),
            Value::Float(value) => *out += &float(*value),
            Value::Str(text) => quoted(text, out),
            Value::Seq(Kind::Range(stop, step), seq) => {
                let start = seq.items.first().and_then(Value::as_int).unwrap_or(*stop);
                *out += &if *step == 1 {
                    format!("range({start}, {stop})")
                } else {
                    format!("range({start}, {stop}, {step})")
                };
            }
            Value::Seq(kind, seq) => {
                let (open, close) = match kind {
                    Kind::Tuple => ("(".to_string(), if seq.items.len() == 1 { ",)" } else { ")" }),
                    Kind::View(name) => (format!("{name}(["), "])"),
                    _ => ("[".to_string(), "]"),
                };
                *out += &open;
                for (at, item) in seq.items.iter().enumerate() {
                    *out += if at > 0 { ", " } else { "" };
                    item.repr_into(out)?;
                }
                *out += close;
            }
            Value::Dict(dict) => {
                *out += "{";
                for (at, (key, value)) in dict.items.iter().enumerate() {
                    *out += if at > 0 { ", " } else { "" };
                    key.repr_into(out)?;
                    *out += ": ";
                    value.repr_into(out)?;
                }
                *out += "}";
            }
            other => return Err(format!("a {} cannot be written", other.kind())),
        }
        // what is written within is counted as it grows
        if let Value::Str(_) = self {
            make(out.len() - before)?
        }
        Ok(())
    }
}

/// A string as Python shows it.
fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => *out += "\\n",
            '\r' => *out += "\\r",
            '\t' => *out += "\\t",
            '\\' => *out += "\\\\",
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 32 || (127..=160).contains(&(c as u32)) || c == '\u{ad}' => {
                *out += &format!("\\x{:02x}", c as u32)
            }
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}'
            | '\u{feff}'
            | '\u{3000}'
            | '\u{2000}'..='\u{200a}' => *out += &format!("\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// A float as Python writes it: the fewest digits that give it again.
pub fn float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan".into()
        } else if value > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("written so");
    let exponent: i32 = exponent.parse().expect("written so");
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
