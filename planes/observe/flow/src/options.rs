//! Options data records: samplers, names of interfaces, applications and VRFs, the exporter's start.

use crate::copy::application;
use crate::counters::Counters;
use crate::decoder::Desk;
use crate::element::{Meaning, OptionMeaning, meaning};
use crate::exporter::{Domain, DomainKey, domain_at, learn_bounded};
use crate::names::NameKey;
use crate::plan::{FieldSpec, Shape, Span};
use crate::rate::{SaidOfSampling, probability};
use crate::read::number;
use crate::records::measure;
use crate::schema::Word;

/// What one record said.
#[derive(Debug, Default)]
struct Told<'a> {
    /// The observation domain that it is about, where its scope says so.
    domain: Option<u32>,
    sampler: Option<u32>,
    sampling: SaidOfSampling,
    interface: Option<u32>,
    name: Option<&'a [u8]>,
    description: Option<&'a [u8]>,
    application: Option<u64>,
    application_name: Option<&'a [u8]>,
    vrf: Option<u32>,
    vrf_name: Option<&'a [u8]>,
    init_ms: Option<u64>,
}

/// The element of an observation domain's number (RFC 7011 §4.1 scopes options by it).
const OBSERVATION_DOMAIN: u16 = 149;

/// Reads a set of options data of template `id`, which came in the domain at `index`; returns how many records it had.
pub(crate) fn options_set(
    domains: &mut Vec<Domain>,
    index: usize,
    id: u16,
    counters: &mut Counters,
    body: &[u8],
    desk: &mut Desk<'_>,
) -> u32 {
    // Taken out while the domain is written to.
    let Some(domain) = domains.get_mut(index) else { return 0 };
    let Some(template) = domain.templates.remove(&id) else { return 0 };
    let own = domain.key;
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
        let scope = usize::from(template.scope.unwrap_or_default());
        let told = read(&template.fields, scope, now, &spans);
        // Sent in one domain, often 0, about another. Number 0 is none.
        let about = match told.domain.filter(|id| *id != 0 && *id != own.id) {
            Some(id) => domain_at(domains, &DomainKey { id, ..own }, desk.limits),
            None => Some(index),
        };
        match about.and_then(|at| domains.get_mut(at)) {
            Some(domain) => learn(domain, &told, counters, desk),
            None => counters.domains_refused += 1,
        }
        records += 1;
        left = after;
    }
    *desk.spans = spans;
    if let Some(domain) = domains.get_mut(index) {
        domain.templates.insert(id, template);
    }
    counters.options += u64::from(records);
    records
}

fn read<'a>(fields: &[FieldSpec], scope: usize, record: &'a [u8], spans: &[Span]) -> Told<'a> {
    let mut told = Told::default();
    for (place, (field, span)) in fields.iter().zip(spans).enumerate() {
        let at = span.at as usize;
        let Some(bytes) = record.get(at..at + span.length as usize) else { continue };
        let word = || u32::try_from(number(bytes)).ok();
        if place < scope && (field.enterprise, field.id) == (0, OBSERVATION_DOMAIN) {
            told.domain = word();
        }
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
        OptionMeaning::SamplingInterval => told.sampling.interval = Some(number(bytes)),
        OptionMeaning::PacketInterval => told.sampling.taken = Some(number(bytes)),
        OptionMeaning::PacketSpace => told.sampling.skipped = Some(number(bytes)),
        OptionMeaning::SamplingSize => told.sampling.size = Some(number(bytes)),
        OptionMeaning::SamplingPopulation => told.sampling.population = Some(number(bytes)),
        OptionMeaning::SamplingProbability => told.sampling.probability = probability(bytes),
        OptionMeaning::InterfaceName => told.name = Some(bytes),
        OptionMeaning::InterfaceDescription => told.description = Some(bytes),
        OptionMeaning::ApplicationName => told.application_name = Some(bytes),
        OptionMeaning::VrfName => told.vrf_name = Some(bytes),
        OptionMeaning::SystemInit => told.init_ms = Some(number(bytes)),
    }
}

fn learn(domain: &mut Domain, told: &Told<'_>, counters: &mut Counters, desk: &mut Desk<'_>) {
    let most = desk.limits.max_options;
    let mut fits = true;
    if let Some(rate) = told.sampling.rate() {
        match told.sampler {
            Some(id) => {
                fits &= learn_bounded(&mut domain.samplers, id, rate, most, desk.learnt);
            }
            None => match told.interface {
                // A rate of one interface is not the domain's.
                Some(index) => {
                    let rates = &mut domain.interface_rates;
                    fits &= learn_bounded(rates, index, rate, most, desk.learnt);
                }
                None => {
                    *desk.learnt += u64::from(domain.rate != Some(rate));
                    domain.rate = Some(rate);
                }
            },
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
