//! Conditions over rows, evaluated for a chunk at once: equal ones once for all rules.
//!
//! A condition over a row without the value is neither true nor false, as in SQL; so each set of rows that it holds
//! for has one beside it that it does not hold for.

use arrow_schema::Schema;
use hashbrown::HashMap;
use holm_policy::{Literal, Operator, Predicate};

use crate::bits::Bits;
use crate::columns::{Chunk, Looked};

/// Most conditions of one column whose rows are remembered over a chunk.
const MAX_SHARED: usize = 4_096;

/// A condition with its columns by number.
#[derive(Debug, Clone, PartialEq)]
enum Bound {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Leaf(usize),
}

/// A condition over one column.
#[derive(Debug, Clone, PartialEq)]
enum Leaf {
    Text(usize, Operator, Box<str>),
    Texts(usize, Vec<Box<str>>),
    TextsBetween(usize, Box<str>, Box<str>),
    Like(usize, Box<str>),
    Number(usize, Operator, f64),
    Numbers(usize, Vec<f64>),
    NumbersBetween(usize, f64, f64),
    Flag(usize, bool),
    Null(usize),
}

/// The conditions of a table's rules.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    /// The columns that are looked at, by number.
    pub(crate) columns: Vec<Box<str>>,
    by_column: HashMap<Box<str>, usize>,
    leaves: Vec<Leaf>,
    /// How often a leaf is used, and where its rows are remembered.
    uses: Vec<(u32, Option<usize>)>,
    by_text: HashMap<Box<str>, usize>,
    bound: Vec<Bound>,
    bound_by_text: HashMap<Box<str>, usize>,
    shared: usize,
}

/// Why a condition cannot be asked of a table.
pub(crate) fn check(predicate: &Predicate, schema: &Schema) -> Result<(), String> {
    match predicate {
        Predicate::And(all) | Predicate::Or(all) => all.iter().try_for_each(|p| check(p, schema)),
        Predicate::Not(inner) => check(inner, schema),
        Predicate::IsNull(column) => known(column, schema).map(drop),
        Predicate::True(column) => looked(column, schema, Looked::Flag),
        Predicate::Like(column, _) => looked(column, schema, Looked::Text),
        Predicate::Compare(column, operator, value) => {
            let of = looked_as(value);
            if of == Looked::Flag && !matches!(operator, Operator::Equal | Operator::Unequal) {
                return Err(format!("column {column}: true and false have no order"));
            }
            looked(column, schema, of)
        }
        Predicate::In(column, values) => {
            let mut values = values.iter();
            values.try_for_each(|value| looked(column, schema, looked_as(value)))
        }
        Predicate::Between(column, from, to) => {
            if looked_as(from) == Looked::Flag {
                return Err(format!("column {column}: true and false have no order"));
            }
            looked(column, schema, looked_as(from))?;
            looked(column, schema, looked_as(to))
        }
    }
}

const fn looked_as(value: &Literal) -> Looked {
    match value {
        Literal::Text(_) => Looked::Text,
        Literal::Number(_) => Looked::Number,
        Literal::Bool(_) => Looked::Flag,
    }
}

/// A column's type.
pub(crate) fn known<'a>(
    column: &str,
    schema: &'a Schema,
) -> Result<&'a arrow_schema::DataType, String> {
    match schema.column_with_name(column) {
        Some((_, field)) => Ok(field.data_type()),
        None => {
            let names: Vec<&str> =
                schema.fields().iter().map(|field| field.name().as_str()).take(40).collect();
            Err(format!("there is no column {column}; it has {}", names.join(", ")))
        }
    }
}

/// Whether a column can be looked at as that.
pub(crate) fn looked(column: &str, schema: &Schema, wanted: Looked) -> Result<(), String> {
    let data_type = known(column, schema)?;
    match Looked::of(data_type) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("column {column} has {}, not {}", found.what(), wanted.what())),
        None => Err(format!("column {column} cannot be compared here")),
    }
}

impl Conditions {
    /// The number of a column.
    pub(crate) fn column(&mut self, name: &str) -> usize {
        if let Some(number) = self.by_column.get(name) {
            return *number;
        }
        let number = self.columns.len();
        self.columns.push(name.into());
        self.by_column.insert(name.into(), number);
        number
    }

    /// The number of a condition that was checked ([`check`]).
    pub(crate) fn bind(&mut self, predicate: &Predicate) -> usize {
        let text: Box<str> = predicate.to_sql().into();
        if let Some(number) = self.bound_by_text.get(&text) {
            return *number;
        }
        let bound = self.bound_of(predicate);
        let number = self.bound.len();
        self.bound.push(bound);
        self.bound_by_text.insert(text, number);
        number
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.bound.len()
    }

    fn bound_of(&mut self, predicate: &Predicate) -> Bound {
        let leaf = match predicate {
            Predicate::And(all) => {
                return Bound::And(all.iter().map(|one| self.bound_of(one)).collect());
            }
            Predicate::Or(all) => {
                return Bound::Or(all.iter().map(|one| self.bound_of(one)).collect());
            }
            Predicate::Not(inner) => return Bound::Not(Box::new(self.bound_of(inner))),
            Predicate::IsNull(column) => Leaf::Null(self.column(column)),
            Predicate::True(column) => Leaf::Flag(self.column(column), true),
            Predicate::Like(column, pattern) => Leaf::Like(self.column(column), pattern.clone()),
            Predicate::Compare(column, operator, value) => {
                let column = self.column(column);
                match value {
                    Literal::Text(text) => Leaf::Text(column, *operator, text.clone()),
                    Literal::Number(number) => Leaf::Number(column, *operator, parsed(number)),
                    Literal::Bool(flag) => {
                        Leaf::Flag(column, (*operator == Operator::Equal) == *flag)
                    }
                }
            }
            Predicate::In(column, values) => {
                let column = self.column(column);
                let texts = values.iter().filter_map(|value| match value {
                    Literal::Text(text) => Some(text.clone()),
                    _ => None,
                });
                let texts: Vec<Box<str>> = texts.collect();
                if texts.is_empty() {
                    let numbers = values.iter().map(|value| match value {
                        Literal::Number(number) => parsed(number),
                        Literal::Bool(flag) => f64::from(u8::from(*flag)),
                        Literal::Text(_) => f64::NAN,
                    });
                    if let [Literal::Bool(flag)] = values.as_slice() {
                        Leaf::Flag(column, *flag)
                    } else {
                        Leaf::Numbers(column, numbers.collect())
                    }
                } else {
                    Leaf::Texts(column, texts)
                }
            }
            Predicate::Between(column, from, to) => {
                let column = self.column(column);
                match (from, to) {
                    (Literal::Text(from), Literal::Text(to)) => {
                        Leaf::TextsBetween(column, from.clone(), to.clone())
                    }
                    (Literal::Number(from), Literal::Number(to)) => {
                        Leaf::NumbersBetween(column, parsed(from), parsed(to))
                    }
                    // Checked before: a column cannot be both.
                    _ => Leaf::Numbers(column, Vec::new()),
                }
            }
        };
        Bound::Leaf(self.leaf(leaf, &predicate.to_sql()))
    }

    fn leaf(&mut self, leaf: Leaf, text: &str) -> usize {
        if let Some(number) = self.by_text.get(text).copied() {
            let (uses, place) = &mut self.uses[number];
            *uses += 1;
            if place.is_none() && self.shared < MAX_SHARED {
                *place = Some(self.shared);
                self.shared += 1;
            }
            return number;
        }
        let number = self.leaves.len();
        self.leaves.push(leaf);
        self.uses.push((1, None));
        self.by_text.insert(text.into(), number);
        number
    }

    /// What is remembered while a chunk is looked at.
    pub(crate) fn memory(&self) -> Memory {
        Memory { leaves: vec![None; self.shared], bound: vec![None; self.bound.len()] }
    }

    /// The rows for which a condition holds.
    pub(crate) fn rows(&self, number: usize, chunk: &mut Chunk, memory: &mut Memory) -> Bits {
        if let Some(known) = &memory.bound[number] {
            return (**known).clone();
        }
        let found = self.eval(&self.bound[number], false, chunk, memory).0;
        memory.bound[number] = Some(Box::new(found.clone()));
        found
    }

    /// The rows for which it holds, and those for which it does not; the latter only if they are wanted.
    fn eval(
        &self,
        bound: &Bound,
        wanted: bool,
        chunk: &mut Chunk,
        memory: &mut Memory,
    ) -> (Bits, Bits) {
        match bound {
            Bound::Not(inner) => {
                let (yes, no) = self.eval(inner, true, chunk, memory);
                (no, yes)
            }
            Bound::And(all) => {
                let (mut yes, mut no) = (Bits::all(chunk.rows), Bits::NONE);
                for one in all {
                    let (a, b) = self.eval(one, wanted, chunk, memory);
                    yes.and(&a);
                    no.or(&b);
                    if !wanted && yes.is_empty() {
                        break;
                    }
                }
                (yes, no)
            }
            Bound::Or(all) => {
                let (mut yes, mut no) = (Bits::NONE, Bits::all(chunk.rows));
                for one in all {
                    let (a, b) = self.eval(one, wanted, chunk, memory);
                    yes.or(&a);
                    no.and(&b);
                }
                (yes, no)
            }
            Bound::Leaf(number) => {
                let place = self.uses[*number].1;
                if let Some(known) = place.and_then(|place| memory.leaves[place].as_deref()) {
                    return known.clone();
                }
                let leaf = &self.leaves[*number];
                let found = leaf.eval(wanted || place.is_some(), chunk);
                if let Some(place) = place {
                    memory.leaves[place] = Some(Box::new(found.clone()));
                }
                found
            }
        }
    }
}

/// What was found for a chunk.
#[derive(Debug)]
pub(crate) struct Memory {
    leaves: Vec<Option<Box<(Bits, Bits)>>>,
    bound: Vec<Option<Box<Bits>>>,
}

fn parsed(number: &str) -> f64 {
    number.parse().unwrap_or(f64::NAN)
}

fn holds<T: PartialOrd + ?Sized>(operator: Operator, a: &T, b: &T) -> bool {
    match operator {
        Operator::Equal => a == b,
        Operator::Unequal => a != b,
        Operator::Less => a < b,
        Operator::LessOrEqual => a <= b,
        Operator::Greater => a > b,
        Operator::GreaterOrEqual => a >= b,
    }
}

impl Leaf {
    fn eval(&self, wanted: bool, chunk: &mut Chunk) -> (Bits, Bits) {
        let texts = |chunk: &mut Chunk, column: usize, right: &dyn Fn(&str) -> bool| {
            let mut yes = Bits::NONE;
            let (coded, valid) = chunk.texts(column);
            coded.like(right, &mut yes);
            complete(yes, valid, wanted)
        };
        let numbers = |chunk: &mut Chunk, column: usize, right: &dyn Fn(f64) -> bool| {
            let mut yes = Bits::NONE;
            let numbers = chunk.numbers(column);
            let all = numbers.values.iter().enumerate();
            all.filter(|(_, number)| right(**number)).for_each(|(row, _)| yes.set(row));
            yes.and(&numbers.valid);
            complete(yes, &numbers.valid, wanted)
        };
        match self {
            Self::Text(column, Operator::Equal, text) => {
                let mut yes = Bits::NONE;
                if !wanted {
                    chunk.coded(*column).equal(text, &mut yes);
                    return (yes, Bits::NONE);
                }
                let (coded, valid) = chunk.texts(*column);
                coded.equal(text, &mut yes);
                complete(yes, valid, wanted)
            }
            Self::Text(column, operator, text) => {
                texts(chunk, *column, &|found| holds(*operator, found, &**text))
            }
            Self::Texts(column, all) => {
                let mut yes = Bits::NONE;
                let (coded, valid) = chunk.texts(*column);
                all.iter().for_each(|text| coded.equal(text, &mut yes));
                complete(yes, valid, wanted)
            }
            Self::TextsBetween(column, from, to) => {
                texts(chunk, *column, &|found| &**from <= found && found <= &**to)
            }
            Self::Like(column, pattern) => {
                let pattern: Vec<char> = pattern.chars().collect();
                texts(chunk, *column, &|found| is_like(found, &pattern))
            }
            Self::Number(column, operator, value) => {
                numbers(chunk, *column, &|found| holds(*operator, &found, value))
            }
            Self::Numbers(column, all) => numbers(chunk, *column, &|found| all.contains(&found)),
            Self::NumbersBetween(column, from, to) => {
                numbers(chunk, *column, &|found| *from <= found && found <= *to)
            }
            Self::Flag(column, wanted) => {
                let flags = chunk.flags(*column);
                let (yes, no) = (flags.yes.clone(), flags.no.clone());
                if *wanted { (yes, no) } else { (no, yes) }
            }
            Self::Null(column) => {
                let with = chunk.valid(*column);
                let mut none = Bits::all(chunk.rows);
                none.without(&with);
                (none, with)
            }
        }
    }
}

fn complete(yes: Bits, valid: &Bits, wanted: bool) -> (Bits, Bits) {
    if !wanted {
        return (yes, Bits::NONE);
    }
    let mut no = valid.clone();
    no.without(&yes);
    (yes, no)
}

/// Whether a text is like a pattern of SQL: `%` is anything, `_` one character. Takes time in proportion to both
/// lengths, whatever stands in them.
fn is_like(text: &str, pattern: &[char]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(next) {
            Some('%') => {
                star = Some((next, at));
                next += 1;
            }
            Some(c) if *c == '_' || *c == text[at] => {
                (at, next) = (at + 1, next + 1);
            }
            _ => match &mut star {
                Some((place, from)) => {
                    *from += 1;
                    (at, next) = (*from, *place + 1);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};

    fn batch() -> RecordBatch {
        let columns: [(&str, ArrayRef); 4] = [
            ("a", Arc::new(StringArray::from(vec![Some("x"), Some("yes"), None, Some("x")]))),
            ("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]))),
            ("f", Arc::new(Float64Array::from(vec![0.5, 1.5, f64::NAN, 2.5]))),
            ("ok", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, a)| (n, a, true))).expect("good")
    }

    fn rows(text: &str) -> Vec<usize> {
        let batch = batch();
        let predicate = Predicate::parse(text).expect(text);
        check(&predicate, &batch.schema()).expect(text);
        let mut conditions = Conditions::default();
        let number = conditions.bind(&predicate);
        let again = conditions.bind(&Predicate::parse(&predicate.to_sql()).expect("its own"));
        assert_eq!(again, number);
        let mut chunk = Chunk::new(&batch, 0, 4, &conditions.columns);
        conditions.rows(number, &mut chunk, &mut conditions.memory()).rows().collect()
    }

    #[test]
    fn conditions_hold_as_in_sql() {
        let none: [usize; 0] = [];
        for (text, right) in [
            ("a = 'x'", &[0, 3][..]),
            ("NOT a = 'x'", &[1]),
            ("a <> 'x' OR n = 3", &[1, 2]),
            ("a IN ('x', 'z') AND n > 1", &[3]),
            ("NOT a IN ('x', 'z')", &[1]),
            ("a LIKE '_e%'", &[1]),
            ("a LIKE '%'", &[0, 1, 3]),
            ("a IS NULL", &[2]),
            ("a IS NOT NULL AND ok", &[0, 3]),
            ("NOT ok", &[1]),
            ("ok = false", &[1]),
            ("ok <> false", &[0, 3]),
            ("n BETWEEN 3 AND 4", &[2, 3]),
            ("NOT (n BETWEEN 3 AND 4)", &[0]),
            ("n IN (1, 4)", &[0, 3]),
            ("f >= 1.5", &[1, 3]),
            ("NOT (a = 'x' AND n = 1)", &[1, 2, 3]),
            ("NOT (a = 'y' OR n = 1)", &[3]),
            ("a BETWEEN 'w' AND 'xx'", &[0, 3]),
            ("a > 'x'", &[1]),
            ("a = 'nowhere' AND ok", &none),
            ("a = 'x' OR a = 'x' AND NOT a = 'x'", &[0, 3]),
        ] {
            assert_eq!(rows(text), right, "{text}");
        }
    }

    #[test]
    fn what_a_table_does_not_have_is_named() {
        let schema = batch().schema();
        for (text, says) in [
            ("b = 'x'", "there is no column b; it has a, n, f, ok"),
            ("a = 1", "column a has text, not numbers"),
            ("n LIKE 'x'", "column n has numbers, not text"),
            ("a", "column a has text, not true or false"),
            ("ok > true", "have no order"),
        ] {
            let predicate = Predicate::parse(text).expect(text);
            let why = check(&predicate, &schema).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    #[test]
    fn patterns_that_go_back_much_take_no_time() {
        let pattern: Vec<char> = "%a%a%a%a%a%a%a%a%b".chars().collect();
        assert!(!is_like(&"a".repeat(5_000), &pattern));
        assert!(is_like("aXb", &['a', '_', 'b']) && !is_like("ab", &['a', '_', 'b']));
        assert!(is_like("", &['%']) && !is_like("", &['_']));
    }
}
