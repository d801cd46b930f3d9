//! The filter language: `src = 10.0.0.0/8 and (port = 443 or proto = udp) and not site = berlin`.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use super::lex::{Lexed, Token, lex};
use crate::read::address_bytes;
use crate::schema::transport_names;

/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 32;
/// Most comparisons of one filter.
const MAX_TERMS: usize = 256;
/// Longest text of a value, in bytes.
const MAX_TEXT: usize = 256;

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter, character {}: {what}; {remedy}", at + 1)]
pub struct FilterError {
    /// Where, in characters from 0.
    pub at: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl FilterError {
    pub(super) const fn new(at: usize, what: String, remedy: String) -> Self {
        Self { at, what, remedy }
    }
}

/// What values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// An address, or a prefix that it lies in.
    Address,
    /// A whole number up to this.
    Number(u64),
    /// A text.
    Text,
    /// An IP protocol, by name or number.
    Protocol,
    /// An interface, by index or name.
    Interface,
    /// A time: RFC 3339.
    Time,
    /// An autonomous system: `64496` or `AS64496`.
    As,
}

/// A field of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: FieldKind,
    /// Its columns; where there are several, one of them must hold.
    pub columns: &'static [&'static str],
    /// In words.
    pub text: &'static str,
}

const fn field(
    name: &'static str,
    kind: FieldKind,
    columns: &'static [&'static str],
    text: &'static str,
) -> Field {
    Field { name, kind, columns, text }
}

use FieldKind::{Address, As, Interface, Number, Protocol, Text, Time};

/// All fields.
pub const FIELDS: &[Field] = &[
    field("src", Address, &["source.address"], "who sent"),
    field("dst", Address, &["destination.address"], "who was sent to"),
    field("host", Address, &["source.address", "destination.address"], "either of both"),
    field("src_port", Number(65_535), &["source.port"], "port of the sender"),
    field("dst_port", Number(65_535), &["destination.port"], "port that was sent to"),
    field("port", Number(65_535), &["source.port", "destination.port"], "either of both"),
    field("proto", Protocol, &["flow.ip.protocol"], "IP protocol: tcp, udp, 47, …"),
    field("src_as", As, &["source.as.effective"], "AS of the sender"),
    field("dst_as", As, &["destination.as.effective"], "AS that was sent to"),
    field("as", As, &["source.as.effective", "destination.as.effective"], "either of both"),
    field("src_net", Text, &["source.network.name"], "configured network of the sender"),
    field("dst_net", Text, &["destination.network.name"], "configured network that was sent to"),
    field("net", Text, &["source.network.name", "destination.network.name"], "either of both"),
    field("src_zone", Text, &["source.network.zone"], "zone of the sender"),
    field("dst_zone", Text, &["destination.network.zone"], "zone that was sent to"),
    field("zone", Text, &["source.network.zone", "destination.network.zone"], "either of both"),
    field("src_service", Text, &["source.service.name"], "service of the sender"),
    field("dst_service", Text, &["destination.service.name"], "service that was sent to"),
    field("service", Text, &["source.service.name", "destination.service.name"], "either of both"),
    field("src_team", Text, &["source.team.name"], "team of the sender"),
    field("dst_team", Text, &["destination.team.name"], "team that was sent to"),
    field("team", Text, &["source.team.name", "destination.team.name"], "either of both"),
    field("in_if", Interface, &["flow.in.interface"], "interface it came in by: index or name"),
    field("out_if", Interface, &["flow.out.interface"], "interface it left by: index or name"),
    field("if", Interface, &["flow.in.interface", "flow.out.interface"], "either of both"),
    field("exporter", Address, &["flow.exporter.address"], "who exported it"),
    field("exporter_name", Text, &["flow.exporter.name"], "configured name of who exported it"),
    field(
        "domain",
        Number(u32::MAX as u64),
        &["flow.domain"],
        "observation domain of the exporter",
    ),
    field("site", Text, &["site"], "site that has the record"),
    field("time", Time, &["flow.time_received"], "when it was received: RFC 3339"),
    field("type", Text, &["flow.type"], "netflow_v5, netflow_v9, ipfix, sflow_5"),
    field("direction", Text, &["network.io.direction"], "receive, transmit"),
    field("next_hop", Address, &["flow.next_hop.address"], "next hop"),
    field("vlan", Number(4_095), &["flow.vlan.id"], "VLAN"),
    field("dscp", Number(63), &["flow.ip.dscp"], "DSCP"),
    field("tcp_flags", Number(65_535), &["flow.tcp_flags"], "TCP flags as a number"),
    field("icmp_type", Number(255), &["flow.icmp.type"], "ICMP type"),
    field("app", Text, &["flow.application.name"], "application as the exporter names it"),
    field("vrf", Text, &["flow.in.vrf.name"], "VRF as the exporter names it"),
    field("bytes", Number(u64::MAX), &["flow.io.bytes_scaled"], "bytes, times the sampling rate"),
    field(
        "packets",
        Number(u64::MAX),
        &["flow.io.packets_scaled"],
        "packets, times the sampling rate",
    ),
];

impl Field {
    /// The field of that name.
    pub fn of(name: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The operators that it takes.
    pub const fn operators(&self) -> &'static [&'static str] {
        match self.kind {
            Number(_) | Time => &["=", "!=", "<", "<=", ">", ">=", "in"],
            Text => &["=", "!=", "~", "in"],
            Address | As | Interface | Protocol => &["=", "!=", "in"],
        }
    }
}

/// A filter that was read: SQL, and nothing of the user's text but typed literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    sql: String,
}

impl Filter {
    /// Reads a filter; an empty one holds for all.
    ///
    /// # Errors
    /// [`FilterError`] says where and what to do.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let tokens = lex(text)?;
        if tokens.is_empty() {
            return Ok(Self { sql: "TRUE".to_owned() });
        }
        let end = text.chars().count();
        let mut parser = Parser { tokens: &tokens, next: 0, end, terms: 0 };
        let sql = parser.either(0)?;
        match parser.peek() {
            None => Ok(Self { sql }),
            Some(_) => Err(parser.wrong("more follows here", "join conditions with and, or")),
        }
    }

    /// The condition over table `flows`.
    pub fn sql(&self) -> &str {
        &self.sql
    }
}

struct Parser<'a> {
    tokens: &'a [Lexed],
    next: usize,
    end: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next).map(|lexed| &lexed.token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |lexed| lexed.at)
    }

    fn wrong(&self, what: impl Into<String>, remedy: impl Into<String>) -> FilterError {
        FilterError::new(self.at(), what.into(), remedy.into())
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn took_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.next += usize::from(is);
        is
    }

    fn either(&mut self, depth: usize) -> Result<String, FilterError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("it is nested too deeply", "write it with fewer parentheses"));
        }
        let mut sql = self.all(depth)?;
        while self.took_word("or") {
            sql = format!("({sql} OR {})", self.all(depth)?);
        }
        Ok(sql)
    }

    fn all(&mut self, depth: usize) -> Result<String, FilterError> {
        let mut sql = self.one(depth)?;
        loop {
            let named = self.took_word("and");
            let goes_on = match self.peek() {
                Some(Token::Open | Token::Op("!")) => true,
                Some(Token::Word(word)) => !word.eq_ignore_ascii_case("or"),
                _ => false,
            };
            if !named && !goes_on {
                return Ok(sql);
            }
            sql = format!("({sql} AND {})", self.one(depth)?);
        }
    }

    fn one(&mut self, depth: usize) -> Result<String, FilterError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("it is nested too deeply", "write it with fewer parentheses"));
        }
        if self.took_word("not") || self.took(&Token::Op("!")) {
            // What is not known is not it either.
            return Ok(format!("({} IS NOT TRUE)", self.one(depth + 1)?));
        }
        if self.took(&Token::Open) {
            let sql = self.either(depth + 1)?;
            if !self.took(&Token::Close) {
                return Err(self.wrong("a parenthesis is not closed", "close it with )"));
            }
            return Ok(sql);
        }
        self.comparison()
    }

    fn took(&mut self, token: &Token) -> bool {
        let is = self.peek() == Some(token);
        self.next += usize::from(is);
        is
    }

    fn comparison(&mut self) -> Result<String, FilterError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.wrong("it has too many conditions", "ask for prefixes or names"));
        }
        let Some(Token::Word(name)) = self.peek() else {
            return Err(
                self.wrong("a field is missing", "write a condition such as dst_port = 443")
            );
        };
        let Some(field) = Field::of(name) else {
            return Err(self.wrong(format!("there is no field {}", clipped(name)), nearest(name)));
        };
        self.next += 1;
        let operators = field.operators();
        let operator = match self.peek() {
            Some(Token::Op(op)) => op,
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("in") => "in",
            _ => {
                let remedy = format!("{} takes {}", field.name, operators.join(" "));
                return Err(self.wrong("an operator is missing", remedy));
            }
        };
        let Some(operator) = operators.iter().copied().find(|known| *known == operator) else {
            let remedy = format!("{} takes {}", field.name, operators.join(" "));
            return Err(self.wrong(format!("{operator} does not go with {}", field.name), remedy));
        };
        self.next += 1;
        if operator != "in" {
            return self.value(field, operator);
        }
        let listed = self.took(&Token::Open);
        let mut any = vec![self.value(field, "=")?];
        while self.took(&Token::Comma) {
            self.terms += 1;
            if self.terms > MAX_TERMS {
                return Err(self.wrong("it has too many values", "ask for prefixes or names"));
            }
            any.push(self.value(field, "=")?);
        }
        if listed && !self.took(&Token::Close) {
            return Err(
                self.wrong("the list is not closed", "separate values by , and close with )")
            );
        }
        Ok(format!("({})", any.join(" OR ")))
    }

    fn value(&mut self, field: &Field, operator: &str) -> Result<String, FilterError> {
        let (text, quoted) = match self.peek() {
            Some(Token::Word(text)) => (text, false),
            Some(Token::Text(text)) => (text, true),
            _ => return Err(self.wrong("a value is missing", example(field))),
        };
        let conditions: Option<Vec<String>> = field
            .columns
            .iter()
            .map(|column| condition(field.kind, column, operator, text, quoted))
            .collect();
        let Some(conditions) = conditions else {
            let what = format!("\"{}\" is no value of {}", clipped(text), field.name);
            return Err(self.wrong(what, example(field)));
        };
        self.next += 1;
        // "not" of both is neither.
        let joined = conditions.join(if operator == "!=" { " AND " } else { " OR " });
        Ok(if conditions.len() > 1 { format!("({joined})") } else { joined })
    }
}

fn condition(
    kind: FieldKind,
    column: &str,
    operator: &str,
    text: &str,
    quoted: bool,
) -> Option<String> {
    let compared = |literal: &str| match operator {
        // An unknown value is not the one that is named.
        "!=" => format!("({column} = {literal} IS NOT TRUE)"),
        _ => format!("{column} {operator} {literal}"),
    };
    Some(match kind {
        Address => {
            let holds = match text.split_once('/') {
                None => format!("{column} = ip('{}')", text.parse::<IpAddr>().ok()?),
                Some((address, bits)) => {
                    let address: IpAddr = address.parse().ok()?;
                    let bits: u8 = bits.parse().ok()?;
                    within(column, address, bits)?
                }
            };
            if operator == "!=" { format!("({holds} IS NOT TRUE)") } else { holds }
        }
        Number(most) => {
            let number: u64 = text.parse().ok()?;
            compared(&(number <= most).then_some(number)?.to_string())
        }
        As => {
            let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
            compared(&digits.unwrap_or(text).parse::<u32>().ok()?.to_string())
        }
        Protocol => {
            let number = text.parse::<u8>().ok();
            let named =
                || transport_names().iter().position(|name| name.eq_ignore_ascii_case(text));
            compared(&number.map(usize::from).or_else(named)?.to_string())
        }
        Interface => match text.parse::<u32>() {
            Ok(index) if !quoted => {
                let column = format!("{column}.index");
                match operator {
                    "!=" => format!("({column} = {index} IS NOT TRUE)"),
                    _ => format!("{column} = {index}"),
                }
            }
            _ => {
                let column = format!("{column}.name");
                let literal = literal(text)?;
                match operator {
                    "!=" => format!("({column} = {literal} IS NOT TRUE)"),
                    _ => format!("{column} = {literal}"),
                }
            }
        },
        Text if operator == "~" => {
            // A part of the text, whatever its case; % and _ mean themselves.
            let part = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("{column} ILIKE {}", literal(&format!("%{part}%"))?)
        }
        Text => compared(&literal(text)?),
        Time => compared(&time(text)?),
    })
}

/// A text between quotes.
fn literal(text: &str) -> Option<String> {
    let plain = text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    plain.then(|| format!("'{}'", text.replace('\'', "''")))
}

/// A prefix as a range: files whose addresses all lie elsewhere are not read.
fn within(column: &str, address: IpAddr, bits: u8) -> Option<String> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let free = u32::from(u8::checked_sub(longest, bits)?);
    let address = u128::from_be_bytes(address_bytes(address));
    let rest = if free == 128 { u128::MAX } else { (1 << free) - 1 };
    let text = |n: u128| Ipv6Addr::from(n).to_canonical();
    let (first, last) = (text(address & !rest), text(address | rest));
    Some(format!("({column} >= ip('{first}') AND {column} <= ip('{last}'))"))
}

/// A time of RFC 3339 as a literal; only digits and its marks come through.
fn time(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | 'T' | 'Z' | '.' | '+');
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 10 && bytes.len() <= 40 && bytes[4] == b'-' && bytes[7] == b'-';
    let zoned = text.ends_with('Z') || text.get(19..)?.contains(['+', '-']);
    (shaped && zoned && text.chars().all(plain)).then(|| {
        let mut literal = String::new();
        let _ = write!(literal, "CAST('{text}' AS TIMESTAMP WITH TIME ZONE)");
        literal
    })
}

fn example(field: &Field) -> String {
    let such = match field.kind {
        Address => "an address or prefix, such as 192.0.2.7 or 2001:db8::/32",
        Number(_) => "a whole number within its range",
        Text => "a text; put it between quotes if it has spaces",
        Protocol => "a protocol, such as tcp or 47",
        Interface => "an index such as 3, or a name between quotes",
        Time => "a time such as 2026-11-21T14:03:07Z",
        As => "an AS number, such as 64496 or AS64496",
    };
    format!("{} is {such}", field.name)
}

fn clipped(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The fields that a wrong name may mean.
fn nearest(name: &str) -> String {
    let begin: String = name.to_lowercase().chars().take(2).collect();
    let near: Vec<&str> =
        FIELDS.iter().map(|field| field.name).filter(|name| name.starts_with(&begin)).collect();
    let named =
        if near.is_empty() { FIELDS.iter().map(|field| field.name).collect() } else { near };
    format!("there are {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> String {
        Filter::parse(text).expect(text).sql
    }

    #[test]
    fn conditions_become_sql_with_typed_literals() {
        assert_eq!(sql(""), "TRUE");
        assert_eq!(sql("src=192.0.2.7"), "source.address = ip('192.0.2.7')");
        assert_eq!(
            sql("dst = 10.1.2.3/8"),
            "(destination.address >= ip('10.0.0.0') AND destination.address <= ip('10.255.255.255'))"
        );
        assert_eq!(
            sql("src in 2001:db8::/32"),
            "((source.address >= ip('2001:db8::') AND source.address <= ip('2001:db8:ffff:ffff:ffff:ffff:ffff:ffff')))"
        );
        assert_eq!(sql("proto = TCP"), "flow.ip.protocol = 6");
        assert_eq!(sql("dst_as = AS64496"), "destination.as.effective = 64496");
        assert_eq!(sql("port = 53"), "(source.port = 53 OR destination.port = 53)");
        assert_eq!(
            sql("port != 53"),
            "((source.port = 53 IS NOT TRUE) AND (destination.port = 53 IS NOT TRUE))"
        );
        assert_eq!(
            sql("in_if = 3 or out_if = \"3\""),
            "(flow.in.interface.index = 3 OR flow.out.interface.name = '3')"
        );
        assert_eq!(
            sql("not (site = berlin) bytes >= 1000"),
            "((site = 'berlin' IS NOT TRUE) AND flow.io.bytes_scaled >= 1000)"
        );
        assert_eq!(
            sql("dst_port in (80, 443) and proto = 6 or site = x"),
            "(((destination.port = 80 OR destination.port = 443) AND flow.ip.protocol = 6) OR site = 'x')"
        );
        assert_eq!(
            sql("service ~ \"50%_a\""),
            "(source.service.name ILIKE '%50\\%\\_a%' OR destination.service.name ILIKE '%50\\%\\_a%')"
        );
        assert_eq!(
            sql("time >= 2026-11-21T14:03:07Z"),
            "flow.time_received >= CAST('2026-11-21T14:03:07Z' AS TIMESTAMP WITH TIME ZONE)"
        );
    }

    #[test]
    fn nothing_of_a_text_gets_out_of_its_quotes() {
        assert_eq!(sql("site = \"x' OR 1=1 --\""), "site = 'x'' OR 1=1 --'");
        assert_eq!(sql("app = '\"; DROP'"), "flow.application.name = '\"; DROP'");
        for text in [
            "src = 1.2.3.4') OR (1=1",
            "dst_port = 1 OR 1=1",
            "dst_port = 443;",
            "time > 2026-11-21T14:03:07Z')",
            "time > \"2026-01-01T00:00:00Z' OR 'a'='a\"",
            "src = \"1.2.3.4') --\"",
            "bytes > 1e9",
            "proto = \"6 OR 1=1\"",
            "in_if = \"a\u{0}b\"",
        ] {
            Filter::parse(text).expect_err(text);
        }
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        for (text, at, part) in [
            ("srcc = 1.2.3.4", 0, "there are src"),
            ("colour = red", 0, "there are src, dst"),
            ("src 1.2.3.4", 4, "src takes = != in"),
            ("src < 1.2.3.4", 4, "src takes = != in"),
            ("src =", 5, "an address or prefix"),
            ("src = 10.0.0.0/33", 6, "an address or prefix"),
            ("dst_port = 65536", 11, "within its range"),
            ("(port = 1", 9, "close it with )"),
            ("port = 1 )", 9, "join conditions"),
            ("port in (1, 2", 13, "close with )"),
            ("site = \"a", 7, "end the text with \""),
            ("site = a and", 12, "write a condition"),
            ("site = {", 7, "between quotes"),
        ] {
            let error = Filter::parse(text).expect_err(text);
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.remedy.contains(part), "{text}: {error}");
        }
        let deep = format!("{}port = 1", "(".repeat(100));
        assert!(Filter::parse(&deep).expect_err("deep").what.contains("too deeply"));
        let deep = format!("{}port = 1", "not ".repeat(400));
        assert!(Filter::parse(&deep).expect_err("deep").what.contains("too deeply"));
        let many = vec!["port = 1"; 400].join(" or ");
        assert!(Filter::parse(&many).is_err());
    }
}
