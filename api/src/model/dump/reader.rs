//! From bytes to rows. Statements that are not wanted are passed over, whatever they contain.

use std::{
    collections::{BTreeSet, HashMap},
    io::BufRead,
};

use super::{
    Dump, MAX_VALUE, MAX_VALUES, MAX_WORD, Row, Table, Unreadable, Value, bytes::Bytes, failed,
    foreign, unreadable,
};

/// What a dump had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Bytes.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// The wanted tables that it has.
    pub tables: BTreeSet<&'static str>,
}

/// Reads a dump to its end, and hands over each row of the wanted tables.
pub fn read<R: BufRead>(dump: Dump<R>, each: impl FnMut(Row)) -> Result<Read, Unreadable> {
    let mut reader = Reader {
        bytes: Bytes::new(dump.input),
        tables: dump.tables,
        prefix: dump.prefix,
        columns: HashMap::new(),
        style: Style { is_postgres: false, has_escapes: true },
        is_open: false,
        found: BTreeSet::new(),
        each,
    };
    reader.all()?;
    let (bytes, lines) = (reader.bytes.read(), reader.bytes.line() - 1);
    Ok(Read { bytes, lines, tables: reader.found })
}

/// How a dump writes.
#[derive(Clone, Copy, Debug)]
struct Style {
    /// As PostgreSQL: names in double quotes.
    is_postgres: bool,
    /// A backslash in a text says that something else is meant.
    has_escapes: bool,
}

struct Reader<R, F> {
    bytes: Bytes<R>,
    tables: &'static [Table],
    prefix: String,
    /// The columns of tables, in their order, as the dump makes them.
    columns: HashMap<&'static str, Vec<String>>,
    style: Style,
    /// The comment at the beginning of a dump was there, and not yet the one at its end.
    is_open: bool,
    found: BTreeSet<&'static str>,
    each: F,
}

/// Where each value of a row goes: the number of the wanted column.
type Places = Vec<Option<usize>>;

/// Collects a value, if it is wanted.
#[derive(Debug)]
struct Slot {
    is_wanted: bool,
    is_null: bool,
    is_long: bool,
    text: Vec<u8>,
}

impl Slot {
    const fn new(is_wanted: bool) -> Self {
        Self { is_wanted, is_null: false, is_long: false, text: Vec::new() }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if !self.is_wanted || self.is_long {
            return;
        }
        if self.text.len() + bytes.len() > MAX_VALUE {
            self.is_long = true;
            self.text = Vec::new();
        } else {
            self.text.extend_from_slice(bytes);
        }
    }

    fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    fn value(self) -> Value {
        match self {
            Self { is_long: true, .. } => Value::TooLong,
            Self { is_null: true, .. } => Value::Null,
            Self { text, .. } => Value::Text(text),
        }
    }
}

/// A row that is being read.
struct Cells<'a> {
    table: Table,
    places: &'a Places,
    line: u64,
    values: Vec<Value>,
    count: usize,
}

impl<'a> Cells<'a> {
    fn new(table: Table, places: &'a Places, line: u64) -> Self {
        Self { table, places, line, values: vec![Value::Absent; table.columns.len()], count: 0 }
    }

    fn place(&self) -> Option<usize> {
        self.places.get(self.count).copied().flatten()
    }

    fn slot(&self) -> Slot {
        Slot::new(self.place().is_some())
    }

    fn take(&mut self, slot: Slot) -> Result<(), Unreadable> {
        let place = self.place();
        if let Some(value) = place.and_then(|at| self.values.get_mut(at)) {
            *value = slot.value();
        }
        self.count += 1;
        if self.count > MAX_VALUES {
            return Err(unreadable(self.line, format!("a row has more than {MAX_VALUES} values")));
        }
        Ok(())
    }

    fn row(self) -> Result<Row, Unreadable> {
        if self.count != self.places.len() {
            let (name, wanted) = (self.table.name, self.places.len());
            let reason = format!("a row of {name} has {} values for {wanted} columns", self.count);
            return Err(unreadable(self.line, reason));
        }
        let Self { table, line, values, .. } = self;
        Ok(Row { table: table.name, line, columns: table.columns, values })
    }
}

const CUT: &str = "the dump ends in the middle: it is not whole";

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

/// What names and bare words are made of; whatever is no ASCII is a letter.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_$@".contains(&byte) || !byte.is_ascii()
}

impl<R: BufRead, F: FnMut(Row)> Reader<R, F> {
    fn all(&mut self) -> Result<(), Unreadable> {
        let first = self.bytes.peek_some(8).map_err(|cause| failed(1, &cause))?;
        if let Some(reason) = foreign(&first) {
            return Err(unreadable(1, reason));
        }
        if first.starts_with(b"\xef\xbb\xbf") {
            for _ in 0..3 {
                self.next()?;
            }
        }
        while self.statement()? {}
        if self.is_open { Err(self.error(CUT)) } else { Ok(()) }
    }

    fn error(&self, reason: impl Into<String>) -> Unreadable {
        unreadable(self.bytes.line(), reason)
    }

    fn peek(&mut self) -> Result<Option<u8>, Unreadable> {
        self.bytes.peek().map_err(|cause| failed(self.bytes.line(), &cause))
    }

    fn next(&mut self) -> Result<Option<u8>, Unreadable> {
        self.bytes.next().map_err(|cause| failed(self.bytes.line(), &cause))
    }

    /// The next byte, where the dump cannot end.
    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.next()?.ok_or_else(|| self.error(CUT))
    }

    fn next_if(&mut self, wanted: u8) -> Result<bool, Unreadable> {
        self.bytes.next_if(wanted).map_err(|cause| failed(self.bytes.line(), &cause))
    }

    fn take_until(
        &mut self,
        ends: impl Fn(u8) -> bool,
        piece: impl FnMut(&[u8]),
    ) -> Result<(), Unreadable> {
        let taken = self.bytes.take_until(ends, piece);
        taken.map_err(|cause| failed(self.bytes.line(), &cause))
    }

    fn skip_line(&mut self) -> Result<(), Unreadable> {
        self.take_until(|one| one == b'\n', |_| {})?;
        self.next().map(drop)
    }

    /// Passes over blanks and comments between statements and their words.
    fn blanks(&mut self) -> Result<(), Unreadable> {
        loop {
            self.take_until(|one| !is_blank(one), |_| {})?;
            match self.peek()? {
                Some(b'#') if !self.style.is_postgres => self.skip_line()?,
                Some(b'-') => {
                    self.next()?;
                    if !self.next_if(b'-')? {
                        return Err(self.error("a - is where a word should be"));
                    }
                    self.remark()?;
                }
                Some(b'/') => {
                    self.next()?;
                    if !self.next_if(b'*')? {
                        return Err(self.error("a / is where a word should be"));
                    }
                    self.skip_comment()?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// A comment to the end of its line, which may tell that the dump begins or is whole.
    fn remark(&mut self) -> Result<(), Unreadable> {
        let mut slot = Slot::new(true);
        self.take_until(|one| one == b'\n', |piece| slot.extend(piece))?;
        self.next()?;
        let Value::Text(text) = slot.value() else { return Ok(()) };
        let text = text.trim_ascii();
        let begins = |with: &[&str]| with.iter().any(|one| text.starts_with(one.as_bytes()));
        if begins(&["Dump completed", "PostgreSQL database dump complete"]) {
            self.is_open = false;
        } else if begins(&["MySQL dump", "MariaDB dump", "PostgreSQL database dump"]) {
            self.is_open = true;
        }
        Ok(())
    }

    fn skip_comment(&mut self) -> Result<(), Unreadable> {
        loop {
            self.take_until(|one| one == b'*', |_| {})?;
            self.byte()?;
            if self.next_if(b'/')? {
                return Ok(());
            }
        }
    }

    /// A bare word, in capitals; empty where there is none.
    fn word(&mut self) -> Result<String, Unreadable> {
        self.blanks()?;
        let mut word = Vec::new();
        self.take_until(
            |one| !is_word(one),
            |piece| {
                let room = MAX_WORD.saturating_sub(word.len());
                word.extend(piece.iter().take(room));
            },
        )?;
        Ok(String::from_utf8_lossy(&word).to_uppercase())
    }

    /// A name, in quotes or not. Of `one.two` the last part counts.
    fn name(&mut self) -> Result<String, Unreadable> {
        loop {
            self.blanks()?;
            let name = match self.peek()? {
                Some(quote @ (b'`' | b'"')) => {
                    self.next()?;
                    let mut slot = Slot::new(true);
                    self.quoted(&mut slot, quote, false)?;
                    String::from_utf8_lossy(&slot.text).into_owned()
                }
                _ => self.word()?.to_lowercase(),
            };
            if name.is_empty() {
                return Err(self.error("a name is missing"));
            }
            if !self.next_if(b'.')? {
                return Ok(name);
            }
        }
    }

    /// The wanted table of this name.
    fn table(&self, name: &str) -> Option<Table> {
        let name = name.strip_prefix(self.prefix.as_str())?;
        self.tables.iter().find(|table| table.name == name).copied()
    }

    /// Deals with the next statement; says whether there was one.
    fn statement(&mut self) -> Result<bool, Unreadable> {
        self.blanks()?;
        match self.peek()? {
            None => return Ok(false),
            Some(b';') => self.next().map(drop)?,
            // What is meant for the client that reads the dump in.
            Some(b'\\') => self.skip_line()?,
            Some(one) if is_word(one) => match self.word()?.as_str() {
                "INSERT" | "REPLACE" => self.insert()?,
                "COPY" => self.copy()?,
                "CREATE" => self.create()?,
                "SET" => self.set()?,
                "DELIMITER" => self.skip_programs()?,
                _ => self.skip()?,
            },
            Some(_) => self.skip()?,
        }
        Ok(true)
    }

    /// Passes over a statement up to its `;`.
    fn skip(&mut self) -> Result<(), Unreadable> {
        let mut before = b' ';
        loop {
            let mut last = None;
            self.take_until(
                |one| b";'\"`$-#/".contains(&one),
                |piece| last = piece.last().copied().or(last),
            )?;
            before = last.unwrap_or(before);
            let byte = self.byte()?;
            match byte {
                b';' => return Ok(()),
                b'\'' => {
                    let has_escapes = self.style.has_escapes || b"eE".contains(&before);
                    self.quoted(&mut Slot::new(false), byte, has_escapes)?;
                }
                b'"' | b'`' => {
                    let has_escapes = byte == b'"' && !self.style.is_postgres;
                    self.quoted(&mut Slot::new(false), byte, has_escapes)?;
                }
                b'$' if self.style.is_postgres && !is_word(before) => self.skip_dollars()?,
                b'-' if self.next_if(b'-')? => self.skip_line()?,
                b'#' if !self.style.is_postgres => self.skip_line()?,
                b'/' if self.next_if(b'*')? => self.skip_comment()?,
                _ => {}
            }
            before = byte;
        }
    }

    /// A text of PostgreSQL between `$tag$` and `$tag$`, of which the first `$` is taken.
    fn skip_dollars(&mut self) -> Result<(), Unreadable> {
        let mut tag: Vec<u8> = Vec::new();
        let is_tag = |one: u8| one.is_ascii_alphanumeric() || one == b'_';
        self.take_until(|one| !is_tag(one), |piece| tag.extend(piece.iter().take(MAX_WORD)))?;
        if !self.next_if(b'$')? || tag.first().is_some_and(u8::is_ascii_digit) {
            return Ok(());
        }
        loop {
            self.take_until(|one| one == b'$', |_| {})?;
            self.byte()?;
            let mut end: Vec<u8> = Vec::new();
            self.take_until(|one| !is_tag(one), |piece| end.extend(piece.iter().take(MAX_WORD)))?;
            // Another `$` may begin the end itself.
            if end == tag && self.next_if(b'$')? {
                return Ok(());
            }
        }
    }

    /// Passes over triggers and procedures, which contain statements: `DELIMITER ;;` begins them, and
    /// `DELIMITER ;` ends them.
    fn skip_programs(&mut self) -> Result<(), Unreadable> {
        let mut rest = self.whole_line()?;
        while rest.as_deref().is_none_or(|rest| rest.trim_ascii() != b";") {
            let line = self.whole_line()?.ok_or_else(|| self.error(CUT))?;
            rest = line.strip_prefix(b"DELIMITER").map(<[u8]>::to_vec);
        }
        Ok(())
    }

    /// The rest of a line, or its beginning if it is long; nothing at the end of the dump.
    fn whole_line(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut line = Vec::new();
        self.take_until(
            |one| one == b'\n',
            |piece| line.extend(piece.iter().take(MAX_WORD.saturating_sub(line.len()))),
        )?;
        let is_end = self.next()?.is_none() && line.is_empty();
        Ok((!is_end).then_some(line))
    }

    /// What `SET` tells of how texts are written.
    fn set(&mut self) -> Result<(), Unreadable> {
        if self.word()? == "STANDARD_CONFORMING_STRINGS" {
            self.blanks()?;
            self.next_if(b'=')?;
            let is_on = self.word()? != "OFF";
            self.style = Style { is_postgres: true, has_escapes: !is_on };
        }
        self.skip()
    }

    /// Remembers the columns of a wanted table.
    fn create(&mut self) -> Result<(), Unreadable> {
        let mut word = self.word()?;
        while ["TEMPORARY", "UNLOGGED", "GLOBAL", "LOCAL"].contains(&word.as_str()) {
            word = self.word()?;
        }
        if word != "TABLE" {
            return self.skip();
        }
        self.blanks()?;
        let is_bare = self.peek()?.is_some_and(is_word);
        let mut name = if is_bare { self.word()?.to_lowercase() } else { String::new() };
        if name == "if" {
            for _ in ["NOT", "EXISTS"] {
                self.word()?;
            }
            name.clear();
        }
        // A bare name may have another part.
        if name.is_empty() || self.next_if(b'.')? {
            name = self.name()?;
        }
        let Some(table) = self.table(&name) else { return self.skip() };
        self.blanks()?;
        if !self.next_if(b'(')? {
            return self.skip();
        }
        let columns = self.definitions()?;
        self.columns.insert(table.name, columns);
        self.found.insert(table.name);
        self.skip()
    }

    /// The columns of a table, up to the `)` behind them.
    fn definitions(&mut self) -> Result<Vec<String>, Unreadable> {
        const OTHERS: [&str; 10] = [
            "primary",
            "key",
            "unique",
            "constraint",
            "index",
            "fulltext",
            "spatial",
            "foreign",
            "check",
            "exclude",
        ];
        let mut columns = Vec::new();
        loop {
            self.blanks()?;
            let is_bare = self.peek()?.is_some_and(is_word);
            let name = self.name()?;
            if !is_bare || !OTHERS.contains(&name.as_str()) {
                columns.push(name.to_lowercase());
            }
            if columns.len() > MAX_VALUES {
                return Err(self.error(format!("a table has more than {MAX_VALUES} columns")));
            }
            // Types, defaults and conditions.
            if self.value(&mut Slot::new(false))? == b')' {
                return Ok(columns);
            }
        }
    }

    /// Names in parentheses, of which the first one is taken.
    fn list(&mut self) -> Result<Vec<String>, Unreadable> {
        let mut names = Vec::new();
        loop {
            names.push(self.name()?.to_lowercase());
            self.blanks()?;
            match self.byte()? {
                b')' => return Ok(names),
                b',' if names.len() < MAX_VALUES => {}
                _ => return Err(self.error("a list of columns does not end")),
            }
        }
    }

    fn places(&self, table: Table, names: Option<&[String]>) -> Result<Places, Unreadable> {
        let names = names.or_else(|| self.columns.get(table.name).map(Vec::as_slice));
        let names = names.ok_or_else(|| {
            let name = table.name;
            self.error(format!(
                "the columns of {name} are not known: dump with its CREATE TABLE, or with \
                 --complete-insert"
            ))
        })?;
        let place = |name: &String| table.columns.iter().position(|one| one == name);
        Ok(names.iter().map(place).collect())
    }

    /// Rows behind `INSERT` or `REPLACE`.
    fn insert(&mut self) -> Result<(), Unreadable> {
        let mut word = self.word()?;
        while word != "INTO" {
            if word.is_empty() {
                return self.skip();
            }
            word = self.word()?;
        }
        let name = self.name()?;
        let Some(table) = self.table(&name) else { return self.skip() };
        self.found.insert(table.name);
        self.blanks()?;
        let names = if self.next_if(b'(')? { Some(self.list()?) } else { None };
        let mut word = self.word()?;
        while ["OVERRIDING", "SYSTEM", "USER", "VALUE"].contains(&word.as_str()) {
            self.blanks()?;
            if self.peek()? == Some(b'(') {
                break;
            }
            word = self.word()?;
        }
        if !["VALUES", "VALUE"].contains(&word.as_str()) {
            return Err(self.error(format!("rows of {name} are not given by VALUES")));
        }
        let places = self.places(table, names.as_deref())?;
        loop {
            self.blanks()?;
            if !self.next_if(b'(')? {
                let is_cut = self.peek()?.is_none();
                return Err(self.error(if is_cut { CUT } else { "a ( is missing" }));
            }
            self.tuple(table, &places)?;
            self.blanks()?;
            match self.next()? {
                Some(b',') => {}
                Some(b';') => return Ok(()),
                // `ON CONFLICT DO NOTHING`
                Some(_) => return self.skip(),
                None => return Err(self.error(CUT)),
            }
        }
    }

    fn tuple(&mut self, table: Table, places: &Places) -> Result<(), Unreadable> {
        let mut cells = Cells::new(table, places, self.bytes.line());
        loop {
            let mut slot = cells.slot();
            let end = self.value(&mut slot)?;
            cells.take(slot)?;
            if end == b')' {
                (self.each)(cells.row()?);
                return Ok(());
            }
        }
    }

    /// A value, with the `,` or `)` behind it, which is returned.
    fn value(&mut self, slot: &mut Slot) -> Result<u8, Unreadable> {
        let (mut depth, mut is_there, mut prefix) = (0_usize, false, Vec::new());
        loop {
            self.take_until(|one| !is_blank(one), |_| {})?;
            let byte = self.byte()?;
            // What follows the value itself is its type, or part of a default.
            let mut nowhere = Slot::new(false);
            let into = if is_there { &mut nowhere } else { &mut *slot };
            match byte {
                b',' | b')' if depth == 0 => return Ok(byte),
                b')' => depth -= 1,
                b'(' => depth += 1,
                b'\'' | b'"' | b'`' => {
                    self.text(into, byte, &prefix)?;
                    is_there = true;
                }
                b'/' if self.next_if(b'*')? => self.skip_comment()?,
                b'-' if self.peek()? == Some(b'-') => self.skip_line()?,
                _ if is_word(byte) || b"+-.".contains(&byte) => {
                    prefix = self.bare(into, byte)?;
                    is_there |= prefix.is_empty();
                }
                b':' => is_there = true,
                _ => {}
            }
        }
    }

    /// A text of which the quote is taken, with what stands before it.
    fn text(&mut self, slot: &mut Slot, quote: u8, prefix: &[u8]) -> Result<(), Unreadable> {
        let is_name = quote == b'`' || (quote == b'"' && self.style.is_postgres);
        let has_escapes = !is_name && (self.style.has_escapes || prefix == b"e");
        if !matches!(prefix, b"x" | b"b") {
            return self.quoted(slot, quote, has_escapes);
        }
        let mut digits = Slot::new(slot.is_wanted);
        self.quoted(&mut digits, quote, false)?;
        slot.is_long = digits.is_long;
        if prefix == b"x" {
            self.hex(slot, &digits.text)
        } else {
            slot.extend(if digits.text.contains(&b'1') { b"1" } else { b"0" });
            Ok(())
        }
    }

    /// A number or a word that is a value; what only introduces a text is returned.
    fn bare(&mut self, slot: &mut Slot, first: u8) -> Result<Vec<u8>, Unreadable> {
        let mut word = Slot::new(true);
        word.push(first);
        self.take_until(|one| !is_word(one) && !b"+-.".contains(&one), |piece| word.extend(piece))?;
        let text = std::mem::take(&mut word.text);
        let lower = text.get(..MAX_WORD.min(text.len())).unwrap_or_default().to_ascii_lowercase();
        let is_quote = matches!(self.peek()?, Some(b'\''));
        let introduces = |word: &[u8]| word.starts_with(b"_");
        match lower.as_slice() {
            b"e" | b"x" | b"b" | b"n" if is_quote => return Ok(lower),
            other if introduces(other) => return Ok(lower),
            b"null" => slot.is_null = true,
            b"true" => slot.push(b'1'),
            b"false" => slot.push(b'0'),
            other if other.starts_with(b"0x") => {
                slot.is_long |= word.is_long;
                let digits = text.get(2..).unwrap_or_default();
                self.hex(slot, digits)?;
            }
            _ => {
                slot.is_long |= word.is_long;
                slot.extend(&text);
            }
        }
        Ok(Vec::new())
    }

    fn hex(&self, slot: &mut Slot, digits: &[u8]) -> Result<(), Unreadable> {
        if slot.is_wanted && !slot.is_long {
            let bytes = hex::decode(digits);
            slot.extend(&bytes.map_err(|_cause| self.error("hexadecimal digits are wrong"))?);
        }
        Ok(())
    }

    /// A text up to the quote that ends it.
    fn quoted(&mut self, slot: &mut Slot, quote: u8, has_escapes: bool) -> Result<(), Unreadable> {
        loop {
            self.take_until(
                |one| one == quote || (has_escapes && one == b'\\'),
                |piece| slot.extend(piece),
            )?;
            match self.byte()? {
                b'\\' => {
                    let escaped = self.byte()?;
                    self.escaped(slot, escaped)?;
                }
                _ if self.next_if(quote)? => slot.push(quote),
                _ => return Ok(()),
            }
        }
    }

    /// What stands behind a backslash.
    fn escaped(&mut self, slot: &mut Slot, byte: u8) -> Result<(), Unreadable> {
        if self.style.is_postgres && matches!(byte, b'0'..=b'7' | b'x') {
            return self.number(slot, byte);
        }
        slot.push(match byte {
            b'0' => 0,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'Z' => 26,
            b'v' if self.style.is_postgres => 11,
            b'f' if self.style.is_postgres => 12,
            other => other,
        });
        Ok(())
    }

    /// A byte by its octal or hexadecimal number, of which the first letter is taken.
    fn number(&mut self, slot: &mut Slot, first: u8) -> Result<(), Unreadable> {
        let (base, most) = if first == b'x' { (16, 2) } else { (8, 2) };
        let mut number = char::from(first).to_digit(8).unwrap_or_default();
        for _ in 0..most {
            let digit = self.peek()?.and_then(|one| char::from(one).to_digit(base));
            let Some(digit) = digit else { break };
            self.next()?;
            number = number * base + digit;
        }
        slot.push(u8::try_from(number & 0xff).unwrap_or_default());
        Ok(())
    }

    /// Rows behind `COPY`, a line each.
    fn copy(&mut self) -> Result<(), Unreadable> {
        let name = self.name()?;
        self.blanks()?;
        let names = if self.next_if(b'(')? { Some(self.list()?) } else { None };
        if (self.word()?.as_str(), self.word()?.as_str()) != ("FROM", "STDIN") {
            return self.skip();
        }
        self.style.is_postgres = true;
        self.skip()?;
        self.skip_line()?;
        let table = self.table(&name);
        let Some(table) = table else { return self.skip_lines() };
        self.found.insert(table.name);
        let places = self.places(table, names.as_deref())?;
        while self.line(table, &places)? {}
        Ok(())
    }

    /// Passes over lines up to the one that ends them.
    fn skip_lines(&mut self) -> Result<(), Unreadable> {
        loop {
            if self.next_if(b'\\')? && self.next_if(b'.')? {
                return self.skip_line();
            }
            self.take_until(|one| one == b'\n', |_| {})?;
            self.byte()?;
        }
    }

    /// A row that is a line; false at the end of the rows.
    fn line(&mut self, table: Table, places: &Places) -> Result<bool, Unreadable> {
        let mut cells = Cells::new(table, places, self.bytes.line());
        loop {
            let mut slot = cells.slot();
            loop {
                self.take_until(|one| b"\\\t\n".contains(&one), |piece| slot.extend(piece))?;
                match self.byte()? {
                    b'\\' => match self.byte()? {
                        b'.' if cells.count == 0 && slot.text.is_empty() => {
                            self.skip_line()?;
                            return Ok(false);
                        }
                        b'N' if slot.text.is_empty() => slot.is_null = true,
                        byte => self.escaped(&mut slot, byte)?,
                    },
                    b'\t' => break,
                    _ => {
                        cells.take(slot)?;
                        (self.each)(cells.row()?);
                        return Ok(true);
                    }
                }
            }
            cells.take(slot)?;
        }
    }
}
