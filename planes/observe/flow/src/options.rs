//! Options data records: samplers, names of interfaces, applications and VRFs, the exporter's start.

use crate::copy::{application, packet_rate};
use crate::counters::Counters;
use crate::decoder::Desk;
use crate::element::{Meaning, OptionMeaning, meaning};
use crate::exporter::{Domain, learn_bounded};
use crate::names::NameKey;
use crate::plan::{FieldSpec, Shape, Span};
use crate::read::number;
use crate::records::measure;
use crate::schema::Word;

/// What one record said.
#[derive(Debug, Default)]
struct Told<'a> {
    sampler: Option<u32>,
    interval: Option<u64>,
    taken: Option<u64>,
    skipped: Option<u64>,
    size: Option<u64>,
    population: Option<u64>,
    probability: Option<f64>,
    interface: Option<u32>,
    name: Option<&'a [u8]>,
    description: Option<&'a [u8]>,
    application: Option<u64>,
    application_name: Option<&'a [u8]>,
    vrf: Option<u32>,
    vrf_name: Option<&'a [u8]>,
    init_ms: Option<u64>,
}

/// Reads a set of options data of template `id`; returns how many records it had.
pub(crate) fn options_set(
    domain: &mut Domain,
    id: u16,
    counters: &mut Counters,
    body: &[u8],
    desk: &mut Desk<'_>,
) -> u32 {
    // Taken out while the domain is written to.
    let Some(template) = domain.templates.remove(&id) else { return 0 };
    let mut spans = std::mem::take(desk.spans);
    let mut left = body;
    let mut records = 0;
    loop {
        let length = match &template.plan.shape {
            Shape::Fixed { stride, spans: fixed } => {
                spans.clear();
                spans.extend_from_slice(fixed);
                (left.len() >= *stride).then_some(*stride)
            }
            Shape::Variable { lengths, least } if left.len() >= *least => {
                let length = measure(lengths, left, &mut spans);
                counters.truncated += u64::from(length.is_none());
                length
            }
            Shape::Variable { .. } => None,
        };
        let Some((now, after)) = length.and_then(|n| left.split_at_checked(n)) else { break };
        let told = read(&template.fields, now, &spans);
        learn(domain, &told, counters, desk);
        records += 1;
        left = after;
    }
    *desk.spans = spans;
    domain.templates.insert(id, template);
    counters.options += u64::from(records);
    records
}

fn read<'a>(fields: &[FieldSpec], record: &'a [u8], spans: &[Span]) -> Told<'a> {
    let mut told = Told::default();
    for (field, span) in fields.iter().zip(spans) {
        let at = span.at as usize;
        let Some(bytes) = record.get(at..at + span.length as usize) else { continue };
        let word = || u32::try_from(number(bytes)).ok();
        match meaning(field.enterprise, field.id).map(|(what, _)| what) {
            Some(Meaning::Word(Word::SamplerId)) => told.sampler = word(),
            Some(Meaning::Word(Word::InInterface)) => told.interface = word(),
            Some(Meaning::Word(Word::OutInterface)) => told.interface = told.interface.or(word()),
            Some(Meaning::Word(Word::InVrf)) => told.vrf = word(),
            Some(Meaning::Word(Word::OutVrf)) => told.vrf = told.vrf.or(word()),
            Some(Meaning::Application) => told.application = Some(application(bytes)),
            Some(Meaning::Option(option)) => read_option(&mut told, option, bytes),
            _ => {}
        }
    }
    told
}

fn read_option<'a>(told: &mut Told<'a>, option: OptionMeaning, bytes: &'a [u8]) {
    match option {
        OptionMeaning::SamplingInterval => told.interval = Some(number(bytes)),
        OptionMeaning::PacketInterval => told.taken = Some(number(bytes)),
        OptionMeaning::PacketSpace => told.skipped = Some(number(bytes)),
        OptionMeaning::SamplingSize => told.size = Some(number(bytes)),
        OptionMeaning::SamplingPopulation => told.population = Some(number(bytes)),
        OptionMeaning::SamplingProbability => {
            // RFC 7011 §6.2 lets a float64 be sent as a float32.
            told.probability = match bytes.len() {
                8 => Some(f64::from_bits(number(bytes))),
                4 => Some(f64::from(f32::from_bits(number(bytes) as u32))),
                _ => None,
            };
        }
        OptionMeaning::InterfaceName => told.name = Some(bytes),
        OptionMeaning::InterfaceDescription => told.description = Some(bytes),
        OptionMeaning::ApplicationName => told.application_name = Some(bytes),
        OptionMeaning::VrfName => told.vrf_name = Some(bytes),
        OptionMeaning::SystemInit => told.init_ms = Some(number(bytes)),
    }
}

impl Told<'_> {
    /// One of how many packets is sampled.
    fn rate(&self) -> Option<u32> {
        let plain = self.interval.filter(|n| *n > 0).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        plain
            .or_else(|| packet_rate(self.taken?, self.skipped?))
            // Without a space 305 is what NetFlow calls the interval: 1 of N.
            .or_else(|| u32::try_from(self.taken?).ok().filter(|n| *n > 0))
            .or_else(|| packet_rate(self.size?, self.population?.checked_sub(self.size?)?))
            .or_else(|| {
                let rate = 1.0 / self.probability.filter(|p| *p > 0.0 && *p <= 1.0)?;
                Some(rate.round().min(f64::from(u32::MAX)) as u32)
            })
    }
}

fn learn(domain: &mut Domain, told: &Told<'_>, counters: &mut Counters, desk: &mut Desk<'_>) {
    let most = desk.limits.max_options;
    let mut fits = true;
    if let Some(rate) = told.rate() {
        match told.sampler {
            Some(id) => {
                fits &= learn_bounded(&mut domain.samplers, id, rate, most, desk.learnt);
            }
            // A rate of one interface is not the domain's.
            None if told.interface.is_none() => {
                *desk.learnt += u64::from(domain.rate != Some(rate));
                domain.rate = Some(rate);
            }
            None => {}
        }
    }
    let mut key_of = |bytes: Option<&[u8]>| -> Option<NameKey> {
        let refused = desk.names.refused;
        let key = desk.names.key_of_bytes(bytes?);
        counters.names_refused += desk.names.refused - refused;
        key
    };
    if let Some(index) = told.interface
        && let Some(key) = key_of(told.name).or_else(|| key_of(told.description))
    {
        fits &= learn_bounded(&mut domain.interfaces, index, key, most, desk.learnt);
    }
    if let Some(id) = told.application
        && let Some(key) = key_of(told.application_name)
    {
        fits &= learn_bounded(&mut domain.applications, id, key, most, desk.learnt);
    }
    if let Some(id) = told.vrf
        && let Some(key) = key_of(told.vrf_name)
    {
        fits &= learn_bounded(&mut domain.vrfs, id, key, most, desk.learnt);
    }
    domain.init_ms = told.init_ms.or(domain.init_ms);
    counters.names_refused += u64::from(!fits);
}
