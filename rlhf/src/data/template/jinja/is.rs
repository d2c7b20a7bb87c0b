//! jinja2's tests.

use super::call::Given;
use super::math::{compared, math};
use super::value::{Kind, Result, Value, equal, spend};
use super::words;

#[inline(never)]
pub fn test(name: &str, of: &Value, given: &Given) -> Result<bool> {
    spend(1)?;
    let args = &given.positional;
    let other = || {
        args.first()
            .or(given.named.first().map(|(_, value)| value))
            .ok_or_else(|| format!("the test {name:?} takes an argument"))
    };
    let whole =
        |value: &Value| value.defined()?.as_int().ok_or_else(|| format!("the test {name:?} is of whole numbers"));
    Ok(match name {
        "defined" => !matches!(of, Value::Undefined(_)),
        "undefined" => matches!(of, Value::Undefined(_)),
        "none" => matches!(of, Value::None),
        "boolean" => matches!(of, Value::Bool(_)),
        "true" => matches!(of, Value::Bool(true)),
        "false" => matches!(of, Value::Bool(false)),
        "integer" => matches!(of, Value::Int(_)),
        "float" => matches!(of, Value::Float(_)),
        "number" => of.as_float().is_some(),
        "string" => matches!(of, Value::Str(_)),
        "mapping" => matches!(of, Value::Dict(_)),
        "sequence" => {
            matches!(of, Value::Undefined(_) | Value::Str(_) | Value::Dict(_))
                || matches!(of, Value::Seq(kind, _) if !matches!(kind, Kind::View(_)))
        }
        "iterable" => matches!(
            of,
            Value::Undefined(_) | Value::Str(_) | Value::Dict(_) | Value::Seq(..) | Value::Gen(_) | Value::Loop(_)
        ),
        "callable" => matches!(
            of,
            Value::Undefined(_) | Value::Macro(_) | Value::Method(..) | Value::Function(_) | Value::Loop(_)
        ),
        "escaped" => false,
        "filter" => of.as_str().is_some_and(known_filter),
        "test" => of.as_str().is_some_and(|name| TESTS.contains(&name)),
        "lower" => words::is_lower(&of.str()?),
        "upper" => words::is_upper(&of.str()?),
        "odd" => equal(&math("%", of, &Value::Int(2))?, &Value::Int(1))?,
        "even" => equal(&math("%", of, &Value::Int(2))?, &Value::Int(0))?,
        "divisibleby" => match whole(other()?)? {
            0 => return Err("division by zero".into()),
            by => whole(of)? % by == 0,
        },
        "sameas" => match (of, other()?) {
            (Value::Seq(_, a), Value::Seq(_, b)) => std::rc::Rc::ptr_eq(a, b),
            (Value::Dict(a), Value::Dict(b)) => std::rc::Rc::ptr_eq(a, b),
            (a, b) => a.kind() == b.kind() && equal(a, b)?,
        },
        "in" => compared("in", of, other()?)?,
        "eq" | "==" | "equalto" => equal(of, other()?)?,
        "ne" | "!=" => !equal(of, other()?)?,
        "lt" | "<" | "lessthan" => compared("<", of, other()?)?,
        "le" | "<=" => compared("<=", of, other()?)?,
        "gt" | ">" | "greaterthan" => compared(">", of, other()?)?,
        "ge" | ">=" => compared(">=", of, other()?)?,
        other => return Err(format!("the test {other:?} is not known")),
    })
}

const TESTS: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

fn known_filter(name: &str) -> bool {
    const OTHERS: [&str; 48] = [
        "abs",
        "attr",
        "batch",
        "capitalize",
        "center",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "filesizeformat",
        "first",
        "float",
        "forceescape",
        "format",
        "groupby",
        "indent",
        "int",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "items",
        "map",
        "min",
        "max",
        "pprint",
        "random",
        "reject",
        "rejectattr",
        "replace",
        "reverse",
        "round",
        "safe",
        "select",
        "selectattr",
        "slice",
        "sort",
        "string",
        "striptags",
        "sum",
        "title",
        "trim",
        "truncate",
        "unique",
        "upper",
    ];
    OTHERS.contains(&name) || ["urlencode", "urlize", "wordcount", "wordwrap", "xmlattr", "tojson"].contains(&name)
}
