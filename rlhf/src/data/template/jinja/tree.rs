//! The tree of a template: statements, and expressions within them.

use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Expr {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    Name(String),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attr(Box<Expr>, String),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Args),
    Filter(Option<Box<Expr>>, String, Args),
    Test(Box<Expr>, String, Args),
    Neg(Box<Expr>),
    Pos(Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Math(&'static str, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(&'static str, Expr)>),
    If(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
}

#[derive(Clone, Debug, Default)]
pub struct Args {
    pub positional: Vec<Expr>,
    pub named: Vec<(String, Expr)>,
    /// `*list` and `**dict`
    pub list: Option<Box<Expr>>,
    pub dict: Option<Box<Expr>>,
}

#[derive(Clone, Debug)]
pub enum Target {
    Name(String),
    Attr(String, String),
    Tuple(Vec<Target>),
}

#[derive(Clone, Debug)]
pub struct Macro {
    pub name: String,
    pub params: Vec<String>,
    /// Of the last of them.
    pub defaults: Vec<Expr>,
    pub body: Vec<Stmt>,
    /// Names that it mentions: `varargs`, `kwargs`, `caller`.
    pub takes: [bool; 3],
}

#[derive(Clone, Debug)]
pub struct For {
    pub target: Target,
    pub list: Expr,
    pub test: Option<Expr>,
    pub body: Vec<Stmt>,
    pub otherwise: Vec<Stmt>,
    pub recursive: bool,
}

#[derive(Clone, Debug)]
pub enum Node {
    Text(String),
    Print(Expr),
    If(Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    For(Arc<For>),
    Set(Target, Expr),
    SetBlock(Target, Option<Expr>, Vec<Stmt>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Macro(Arc<Macro>),
    Call(Expr, Arc<Macro>),
    Filter(Expr, Vec<Stmt>),
    Generation(Vec<Stmt>),
    Break,
    Continue,
}

/// A statement and its line.
#[derive(Clone, Debug)]
pub struct Stmt {
    pub node: Node,
    pub line: usize,
}
