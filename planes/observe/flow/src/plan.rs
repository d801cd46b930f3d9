//! A template compiled once into the copies that decode its records.

use crate::element::{Clock, Layer, Meaning, OptionMeaning, meaning};
use crate::schema::{Address, Byte, Long, Mac, Short, Time, Word};

/// Length that says "each value tells its own" (RFC 7011 §7).
pub(crate) const VARIABLE: u16 = u16::MAX;

/// A field as a template tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) enterprise: u32,
    pub(crate) id: u16,
    /// Bytes, or [`VARIABLE`].
    pub(crate) length: u16,
}

/// Where a field lies in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) length: u32,
}

/// One copy: fields are numbers of [`FieldSpec`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    Byte(Byte, u16),
    Short(Short, u16),
    Word(Word, u16),
    Long(Long, u16),
    V4(Address, u16),
    V6(Address, u16),
    /// The IPv4 address, or the IPv6 one where the IPv4 one is unspecified.
    Either(Address, u16, u16),
    Mac(Mac, u16),
    Time(Time, Clock, u16),
    Icmp(u16),
    Segment(u16),
    Application(u16),
    /// The sampling rate, said in more ways than as one of so many.
    Rate(RateFields),
    /// The end is the start plus this field in units of so many nanoseconds; where only the end is told, the start is
    /// that much before it.
    Lasts(i64, u16),
    /// An event of one moment: it starts when it ends.
    StartAtEnd,
    Packet(Layer, u16, Option<u16>),
}

/// The fields that say how packets were sampled (RFC 5477 §8.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RateFields {
    pub(crate) interval: Option<u16>,
    pub(crate) taken: Option<u16>,
    pub(crate) skipped: Option<u16>,
    pub(crate) size: Option<u16>,
    pub(crate) population: Option<u16>,
    pub(crate) probability: Option<u16>,
}

/// How records follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All of the same length, more than 0.
    Fixed { stride: usize, spans: Box<[Span]> },
    /// Fields of their own lengths; a record is at least `least` bytes, more than 0.
    Variable { lengths: Box<[u16]>, least: usize },
}

/// What to do with each record of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    pub(crate) copies: Box<[Copy]>,
    /// Fields of MPLS label stack entries, top first.
    pub(crate) labels: Box<[u16]>,
    /// Columns of names that records tell themselves, and their fields.
    pub(crate) names: Box<[(Word, u16)]>,
    /// Whether a record tells its own sampling rate.
    pub(crate) tells_rate: bool,
    /// The field of the exporter's start, which times of uptime are relative to.
    pub(crate) init: Option<u16>,
    /// Fields that have no column here.
    pub(crate) unmapped: u16,
}

/// Why a template cannot be decoded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadTemplate {
    /// Its records would have no bytes, and a set of them no end.
    Empty,
}

impl Plan {
    /// # Errors
    /// The template's records have no bytes.
    pub(crate) fn compile(fields: &[FieldSpec]) -> Result<Self, BadTemplate> {
        let mut best = Choice::default();
        let mut labels: Vec<(u8, u16)> = Vec::new();
        let mut unmapped = 0;
        for (number, field) in (0_u16..).zip(fields) {
            match meaning(field.enterprise, field.id) {
                Some((Meaning::Label, depth)) => labels.push((depth, number)),
                Some((what, rank)) => best.offer(what, rank, number),
                None => unmapped += 1,
            }
        }
        labels.sort_unstable();
        labels.dedup_by_key(|(depth, _)| *depth);
        let rate = best.rate();
        Ok(Self {
            shape: shape(fields)?,
            tells_rate: rate.is_some(),
            init: best.of(Meaning::Option(OptionMeaning::SystemInit)),
            copies: best.copies(rate),
            labels: labels.into_iter().map(|(_, field)| field).collect(),
            names: names_in(fields),
            unmapped,
        })
    }
}

/// The names in records themselves. Of two names of interfaces the first is that by which the flow came in (RFC 7011 §8:
/// repeated elements are in the order of observation), and so is the only one unless the record tells of no such
/// interface. A description stands for a name that is not there.
fn names_in(fields: &[FieldSpec]) -> Box<[(Word, u16)]> {
    let means = |what: Meaning| {
        let numbered = (0_u16..).zip(fields);
        numbered.filter(move |(_, field)| {
            meaning(field.enterprise, field.id).is_some_and(|(of, _)| of == what)
        })
    };
    let told = |option| means(Meaning::Option(option)).map(|(number, _)| number);
    let has = |word| means(Meaning::Word(word)).next().is_some();
    let comes_in = has(Word::InInterface) || !has(Word::OutInterface);
    let ways = [Word::InInterfaceName, Word::OutInterfaceName];
    let ways = &ways[usize::from(!comes_in)..];
    let mut names: Vec<(Word, u16)> = Vec::new();
    for option in [OptionMeaning::InterfaceName, OptionMeaning::InterfaceDescription] {
        for (column, field) in ways.iter().zip(told(option)) {
            if names.iter().all(|(taken, _)| taken != column) {
                names.push((*column, field));
            }
        }
    }
    names.extend(told(OptionMeaning::ApplicationName).next().map(|f| (Word::ApplicationName, f)));
    names.extend(told(OptionMeaning::VrfName).next().map(|f| (Word::InVrfName, f)));
    names.into()
}

fn shape(fields: &[FieldSpec]) -> Result<Shape, BadTemplate> {
    if fields.iter().any(|field| field.length == VARIABLE) {
        let lengths: Box<[u16]> = fields.iter().map(|field| field.length).collect();
        // A variable field has at least its length byte.
        let least = lengths.iter().map(|n| if *n == VARIABLE { 1 } else { usize::from(*n) }).sum();
        return Ok(Shape::Variable { lengths, least });
    }
    let mut at = 0_u32;
    let mut spans = Vec::with_capacity(fields.len());
    for field in fields {
        let length = u32::from(field.length);
        spans.push(Span { at, length });
        at = at.saturating_add(length);
    }
    if at == 0 {
        return Err(BadTemplate::Empty);
    }
    Ok(Shape::Fixed { stride: at as usize, spans: spans.into() })
}

/// The best field so far for each meaning.
#[derive(Debug, Default)]
struct Choice {
    taken: Vec<(Meaning, u8, u16)>,
}

impl Choice {
    /// Of two fields for one column the lower rank wins, of equals the first: of repeated elements
    /// RFC 7011 §8 says that order is the order of observation.
    fn offer(&mut self, what: Meaning, rank: u8, field: u16) {
        match self.taken.iter_mut().find(|(other, ..)| same_column(*other, what)) {
            Some(held) if rank < held.1 => *held = (what, rank, field),
            Some(_) => {}
            None => self.taken.push((what, rank, field)),
        }
    }

    fn of(&self, what: Meaning) -> Option<u16> {
        self.taken.iter().find(|(other, ..)| *other == what).map(|(_, _, field)| *field)
    }

    fn rate(&self) -> Option<Copy> {
        use OptionMeaning as O;
        let of = |option| self.of(Meaning::Option(option));
        let fields = RateFields {
            interval: of(O::SamplingInterval),
            taken: of(O::PacketInterval),
            skipped: of(O::PacketSpace),
            size: of(O::SamplingSize),
            population: of(O::SamplingPopulation),
            probability: of(O::SamplingProbability),
        };
        let one = |field| RateFields { interval: Some(field), ..RateFields::default() };
        match (fields.interval, fields.taken) {
            (Some(field), _) if fields == one(field) => Some(Copy::Word(Word::SamplingRate, field)),
            (None, Some(field))
                if RateFields { taken: None, ..fields } == RateFields::default() =>
            {
                // Alone it is what NetFlow calls the interval: 1 of N.
                Some(Copy::Word(Word::SamplingRate, field))
            }
            _ => {
                let whole = fields.size.is_some() && fields.population.is_some();
                let says = fields.interval.is_some() || fields.taken.is_some() || whole;
                (says || fields.probability.is_some()).then_some(Copy::Rate(fields))
            }
        }
    }

    fn copies(&self, rate: Option<Copy>) -> Box<[Copy]> {
        let mut copies: Vec<Copy> = rate.into_iter().collect();
        let mut last = Vec::new();
        for (what, rank, field) in &self.taken {
            let field = *field;
            match *what {
                Meaning::Byte(slot) => copies.push(Copy::Byte(slot, field)),
                Meaning::Short(slot) => copies.push(Copy::Short(slot, field)),
                Meaning::Word(slot) => copies.push(Copy::Word(slot, field)),
                Meaning::Long(slot) => copies.push(Copy::Long(slot, field)),
                Meaning::Mac(slot) => copies.push(Copy::Mac(slot, field)),
                Meaning::V4(slot) => copies.push(match self.of(Meaning::V6(slot)) {
                    Some(v6) => Copy::Either(slot, field, v6),
                    None => Copy::V4(slot, field),
                }),
                Meaning::V6(slot) if self.of(Meaning::V4(slot)).is_none() => {
                    copies.push(Copy::V6(slot, field));
                }
                Meaning::V6(_) => {}
                Meaning::Time(slot, clock) => {
                    copies.push(Copy::Time(slot, clock, field));
                    if *rank >= 6 && !self.has_start() {
                        last.push(Copy::StartAtEnd);
                    }
                }
                Meaning::Icmp => copies.push(Copy::Icmp(field)),
                Meaning::Segment => copies.push(Copy::Segment(field)),
                Meaning::Application => copies.push(Copy::Application(field)),
                // Before an event's start is taken for its end.
                Meaning::Duration(unit) => last.insert(0, Copy::Lasts(unit, field)),
                // After all others: what the exporter says itself stays.
                Meaning::Packet(layer) => {
                    last.push(Copy::Packet(layer, field, self.of(Meaning::PacketLength)));
                }
                Meaning::PacketLength | Meaning::Label | Meaning::Option(_) => {}
            }
        }
        copies.extend(last);
        copies.into()
    }

    fn has_start(&self) -> bool {
        self.taken.iter().any(|(what, ..)| matches!(what, Meaning::Time(Time::Start, _)))
    }
}

/// Whether two meanings go to the same column.
fn same_column(one: Meaning, other: Meaning) -> bool {
    match (one, other) {
        (Meaning::Time(a, _), Meaning::Time(b, _)) => a == b,
        (Meaning::Packet(_), Meaning::Packet(_)) => true,
        (Meaning::Duration(_), Meaning::Duration(_)) => true,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(id: u16, length: u16) -> FieldSpec {
        FieldSpec { enterprise: 0, id, length }
    }

    #[test]
    fn a_delta_wins_over_a_total_and_a_finer_time_over_a_coarser() {
        let fields = [field(85, 8), field(1, 4), field(150, 4), field(152, 8), field(9999, 3)];
        let plan = Plan::compile(&fields).expect("records have bytes");
        assert!(plan.copies.contains(&Copy::Long(Long::Bytes, 1)));
        assert!(plan.copies.contains(&Copy::Time(Time::Start, Clock::Millis, 3)));
        assert_eq!((plan.copies.len(), plan.unmapped), (2, 1));
        let Shape::Fixed { stride, spans } = plan.shape else { panic!("all lengths are fixed") };
        assert_eq!((stride, spans[3]), (27, Span { at: 16, length: 8 }));
    }

    #[test]
    fn names_go_to_the_interfaces_that_a_record_tells_of() {
        let names = |ids: &[u16]| {
            let fields: Vec<_> = ids.iter().map(|id| field(*id, 8)).collect();
            Plan::compile(&fields).expect("records have bytes").names.to_vec()
        };
        use Word::{ApplicationName, InInterfaceName as In, InVrfName, OutInterfaceName as Out};
        assert_eq!(names(&[10, 14, 82, 82, 82]), [(In, 2), (Out, 3)]);
        assert_eq!(names(&[14, 82]), [(Out, 1)]);
        assert_eq!(names(&[82]), [(In, 0)]);
        assert_eq!(names(&[10, 83, 82, 83]), [(In, 2), (Out, 3)]);
        assert_eq!(names(&[96, 236, 96]), [(ApplicationName, 0), (InVrfName, 1)]);
        assert_eq!(names(&[10, 14]), []);
    }

    #[test]
    fn a_template_without_bytes_is_refused() {
        assert_eq!(Plan::compile(&[]).expect_err("no field"), BadTemplate::Empty);
        assert_eq!(Plan::compile(&[field(1, 0)]).expect_err("no byte"), BadTemplate::Empty);
    }

    #[test]
    fn both_address_families_in_one_template_make_one_copy() {
        let plan = Plan::compile(&[field(27, 16), field(8, 4)]).expect("records have bytes");
        assert_eq!(*plan.copies, [Copy::Either(Address::Source, 1, 0)]);
    }
}
