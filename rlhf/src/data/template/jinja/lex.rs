//! A template as tokens, by the rules of jinja2's lexer with `trim_blocks` and `lstrip_blocks`.

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// Text between tags, as it is written.
    Text(String),
    /// `{{` and `}}`
    Print,
    PrintEnd,
    /// `{%` and `%}`
    Tag,
    TagEnd,
    Name(String),
    Text_(String),
    Int(i128),
    Float(f64),
    Op(&'static str),
    End,
}

const OPERATORS: [&str; 27] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";", "!",
];

/// What Python takes for white space.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The tokens of a template, each with its line.
pub fn tokens(source: &str) -> Result<Vec<(Token, usize)>, String> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { source, at: 0, line: 1, counted: 0, out: vec![] };
    lexer.root()?;
    let line = lexer.line();
    lexer.out.push((Token::End, line));
    Ok(lexer.out)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    /// Bytes whose lines are counted.
    counted: usize,
    out: Vec<(Token, usize)>,
}

impl<'a> Lexer<'a> {
    fn line(&mut self) -> usize {
        self.line += self.source.as_bytes()[self.counted..self.at].iter().filter(|&&b| b == b'\n').count();
        self.counted = self.at;
        self.line
    }

    fn push(&mut self, token: Token) {
        let line = self.line();
        self.out.push((token, line));
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn fault<T>(&mut self, what: &str) -> Result<T, String> {
        Err(format!("{what} (line {} of the template)", self.line()))
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
    }

    fn root(&mut self) -> Result<(), String> {
        let mut line_start = true;
        loop {
            let rest = self.rest();
            let opens = |pair: &[u8]| pair[0] == b'{' && b"{%#".contains(&pair[1]);
            let Some(found) = rest.as_bytes().windows(2).position(opens) else {
                self.text(rest);
                self.at = self.source.len();
                return Ok(());
            };
            let open = &rest[found..found + 2];
            let sign = rest[found + 2..].chars().next().filter(|c| "+-".contains(*c));
            self.text(stripped(&rest[..found], sign, open != "{{", line_start));
            self.at += found + 2 + sign.map_or(0, char::len_utf8);
            match open {
                "{#" => self.comment()?,
                "{{" => {
                    self.push(Token::Print);
                    self.inside("}}", Token::PrintEnd)?;
                }
                _ => match self.raw_begins() {
                    Some(begins) => self.raw(begins)?,
                    None => {
                        self.push(Token::Tag);
                        self.inside("%}", Token::TagEnd)?;
                    }
                },
            }
            line_start = self.source[..self.at].ends_with('\n');
        }
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Token::Text(text.to_string()));
        }
    }

    /// Past the end of a tag or comment and the white space that goes with it.
    fn past_end(&mut self, sign: &str, end: &str, trims: bool) {
        self.at += sign.len() + end.len();
        match sign {
            "-" => self.skip_space(),
            "" if trims && self.rest().starts_with('\n') => self.at += 1,
            _ => {}
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let Some(found) = self.rest().find("#}") else { return self.fault("a comment does not end") };
        let sign = match self.rest()[..found].chars().last() {
            Some('-') => "-",
            Some('+') => "+",
            _ => "",
        };
        self.at += found - sign.len();
        self.past_end(sign, "#}", true);
        Ok(())
    }

    /// Where the text of `{% raw %}` begins, if that is the tag.
    fn raw_begins(&self) -> Option<(usize, bool)> {
        let rest = self.rest().trim_start_matches(is_space).strip_prefix("raw")?.trim_start_matches(is_space);
        let (rest, strips) = match rest.strip_prefix("-%}") {
            Some(rest) => (rest, true),
            None => (rest.strip_prefix("%}")?, false),
        };
        Some((self.source.len() - rest.len(), strips))
    }

    fn raw(&mut self, (begins, strips): (usize, bool)) -> Result<(), String> {
        self.at = begins;
        if strips {
            self.skip_space();
        }
        let (start, mut from) = (self.at, 0);
        while let Some(found) = self.rest()[from..].find("{%").map(|at| at + from) {
            let tag = &self.rest()[found + 2..];
            let sign = tag.chars().next().filter(|c| "+-".contains(*c));
            let name = tag[sign.map_or(0, char::len_utf8)..].trim_start_matches(is_space);
            let end = name.strip_prefix("endraw").map(|end| end.trim_start_matches(is_space));
            let closing = ["+%}", "-%}", "%}"].into_iter().find(|close| end.is_some_and(|end| end.starts_with(close)));
            if let (Some(end), Some(close)) = (end, closing) {
                let text = self.source[start..start + found].to_string();
                self.text(stripped(&text, sign, true, false));
                self.at = self.source.len() - end.len();
                self.past_end(&close[..close.len() - 2], "%}", true);
                return Ok(());
            }
            from = found + 2;
        }
        self.fault("{% raw %} does not end")
    }

    /// Tokens up to the end of a tag. Within brackets its end is none.
    fn inside(&mut self, end: &'static str, token: Token) -> Result<(), String> {
        let mut open = vec![];
        loop {
            self.skip_space();
            let rest = self.rest();
            if open.is_empty() {
                let signs: &[&str] = if end == "}}" { &["-", ""] } else { &["-", "+", ""] };
                let sign =
                    signs.iter().find(|sign| rest.strip_prefix(**sign).is_some_and(|rest| rest.starts_with(end)));
                if let Some(sign) = sign {
                    self.push(token);
                    self.past_end(sign, end, end == "%}");
                    return Ok(());
                }
            }
            let Some(first) = rest.chars().next() else { return self.fault("a tag does not end") };
            if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphanumeric() {
                let length = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                self.push(Token::Name(rest[..length].to_string()));
                self.at += length;
            } else if first == '"' || first == '\'' {
                self.string(first)?;
            } else if let Some(op) = OPERATORS.into_iter().find(|op| rest.starts_with(op)) {
                match op {
                    "(" => open.push(")"),
                    "[" => open.push("]"),
                    "{" => open.push("}"),
                    ")" | "]" | "}" if open.pop() != Some(op) => return self.fault(&format!("unexpected {op:?}")),
                    _ => {}
                }
                self.push(Token::Op(op));
                self.at += op.len();
            } else {
                return self.fault(&format!("unexpected character {first:?}"));
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.rest();
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if rest.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
                let digits = rest[2..].find(|c: char| c != '_' && !c.is_digit(radix)).unwrap_or(rest.len() - 2);
                let value = i128::from_str_radix(&rest[2..2 + digits].replace('_', ""), radix);
                let Ok(value) = value else { return self.fault("a number that cannot be read") };
                self.push(Token::Int(value));
                self.at += 2 + digits;
                return Ok(());
            }
        }
        let digits = |from: usize| {
            let rest = &rest[from..];
            from + rest.find(|c: char| c != '_' && !c.is_ascii_digit()).unwrap_or(rest.len())
        };
        let is_digit = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        let mut end = digits(0);
        let (whole, after_dot) = (end, self.at > 0 && self.source.as_bytes()[self.at - 1] == b'.');
        if !after_dot && rest.as_bytes().get(end) == Some(&b'.') && is_digit(end + 1) {
            end = digits(end + 1);
        }
        if !after_dot && matches!(rest.as_bytes().get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.as_bytes().get(end + 1), Some(b'+' | b'-')));
            if is_digit(end + 1 + sign) {
                end = digits(end + 1 + sign);
            }
        }
        let text = rest[..end].replace('_', "");
        let token = match end == whole {
            true => text.parse().map(Token::Int).ok(),
            false => text.parse().map(Token::Float).ok(),
        };
        let Some(token) = token else { return self.fault("a number that is too large") };
        self.push(token);
        self.at += end;
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), String> {
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.push(Token::Text_(out));
                self.at += at + 1;
                return Ok(());
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some((_, escape)) = chars.next() else { break };
            let mut code = |most: usize, radix: u32, first: Option<char>| {
                let mut value = first.and_then(|c| c.to_digit(radix));
                let mut taken = first.is_some() as usize;
                while let Some(digit) = chars.peek().and_then(|(_, c)| c.to_digit(radix)).filter(|_| taken < most) {
                    value = Some(value.unwrap_or(0) * radix + digit);
                    taken += 1;
                    chars.next();
                }
                value.and_then(char::from_u32).filter(|_| radix == 8 || taken == most)
            };
            let read = match escape {
                '\n' => continue,
                'n' => Some('\n'),
                't' => Some('\t'),
                'r' => Some('\r'),
                'a' => Some('\x07'),
                'b' => Some('\x08'),
                'f' => Some('\x0c'),
                'v' => Some('\x0b'),
                '\\' | '\'' | '"' => Some(escape),
                '0'..='7' => code(3, 8, Some(escape)),
                'x' => code(2, 16, None),
                'u' => code(4, 16, None),
                'U' => code(8, 16, None),
                other => {
                    out.push('\\');
                    Some(other)
                }
            };
            let Some(read) = read else { return self.fault("an escape in a string that cannot be read") };
            out.push(read);
        }
        self.fault("a string does not end")
    }
}

/// Text before a tag, without what the tag takes of it.
fn stripped(text: &str, sign: Option<char>, is_block: bool, line_start: bool) -> &str {
    match sign {
        Some('-') => text.trim_end_matches(is_space),
        None if is_block => {
            let start = text.rfind('\n').map(|at| at + 1);
            match start.or(line_start.then_some(0)).filter(|&start| text[start..].chars().all(is_space)) {
                Some(start) => &text[..start],
                None => text,
            }
        }
        _ => text,
    }
}
