//! What an answer is, by what was fetched so far.

use std::collections::BTreeMap;

use hickory_proto::dnssec::DigestType;
use hickory_proto::dnssec::PublicKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable;

use super::denial::Denials;
use super::signed::{Keys, Set};
use super::{Anchors, MAX_ALIASES, MAX_DS, Spent, Trust, Verdict, data};

/// What was fetched, or why it was not to be had.
pub(super) type Fetched = BTreeMap<(Name, RecordType), Result<Message, String>>;

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// These records are needed.
    Needs(Name, RecordType),
    Is(Verdict),
}

impl From<Verdict> for Next {
    fn from(verdict: Verdict) -> Self {
        Self::Is(verdict)
    }
}

/// What a name is to the zone above it.
#[derive(Debug, Clone)]
enum Cut {
    /// A zone of its own, with these keys.
    Zone(Keys),
    /// A zone of its own that is not signed, and why that is known.
    Insecure(String),
    /// No zone of its own.
    None,
}

/// What an answer says of one name.
enum Claim<'m> {
    There(Set<'m>),
    NotThere(Name),
}

/// Judges one answer; it remembers what it found out between steps.
pub(super) struct Judge<'a> {
    anchors: &'a Anchors,
    now_s: u32,
    cuts: BTreeMap<Name, Cut>,
    pub(super) spent: Spent,
}

impl<'a> Judge<'a> {
    pub(super) fn new(anchors: &'a Anchors, now_s: u32) -> Self {
        Self { anchors, now_s, cuts: BTreeMap::new(), spent: Spent::default() }
    }

    /// What `answer` to the question for `name` and `kind` is, as far as `fetched` tells.
    pub(super) fn step(
        &mut self,
        (name, kind): (&Name, RecordType),
        answer: &Message,
        fetched: &Fetched,
    ) -> Next {
        match self.answer(name, kind, answer, fetched) {
            Ok(()) => Next::Is(Verdict { trust: Trust::Secure, reason: String::new(), zone: None }),
            Err(next) => next,
        }
    }

    fn answer(
        &mut self,
        asked: &Name,
        kind: RecordType,
        answer: &Message,
        fetched: &Fetched,
    ) -> Result<(), Next> {
        let code = answer.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            let why = format!("the server answers {code:?}");
            return Err(Verdict::new(Trust::Indeterminate, asked, why).into());
        }
        // First all keys, then the signatures: none is tried twice because something had to be fetched.
        let mut parts = Vec::new();
        let mut name = asked.clone();
        let end = loop {
            if parts.len() > MAX_ALIASES {
                let why = format!("more than {MAX_ALIASES} aliases");
                break Some(Verdict::new(Trust::Indeterminate, &name, why));
            }
            let set = Set::of(&answer.answers, &name, kind);
            let alias = Set::of(&answer.answers, &name, RecordType::CNAME);
            let (claim, to) = match (set, alias.filter(|_| kind != RecordType::CNAME)) {
                (Some(set), _) => (Claim::There(set), None),
                (None, None) => (Claim::NotThere(name.clone()), None),
                (None, Some(alias)) => match aliased(&alias, answer) {
                    Ok((set, to)) => (Claim::There(set), Some(to)),
                    Err(why) => break Some(Verdict::new(Trust::Bogus, &name, why)),
                },
            };
            let (signer, of, kind) = match &claim {
                Claim::There(set) => (set.signer(), set.name.clone(), set.kind),
                Claim::NotThere(name) => {
                    (Denials::signer(&answer.authorities, name, kind), name.clone(), kind)
                }
            };
            let keys = match signer {
                Some(zone) => self.keys_of(&zone, fetched).map(|keys| (zone, keys)),
                None => self.unsigned(&of, kind, fetched).and_then(|is| Err(is.into())),
            };
            match keys {
                Ok((zone, keys)) => parts.push((claim, zone, keys)),
                Err(Next::Is(verdict)) => break Some(verdict),
                Err(needs) => return Err(needs),
            }
            match to {
                Some(to) => name = to,
                None => break None,
            }
        };
        for (claim, zone, keys) in &parts {
            match claim {
                Claim::There(set) => self.positive(set, zone, keys, answer)?,
                Claim::NotThere(name) => self.negative((name, kind), zone, keys, answer)?,
            }
        }
        end.map_or(Ok(()), |verdict| Err(verdict.into()))
    }

    /// A set that the answer has.
    fn positive(
        &mut self,
        set: &Set<'_>,
        zone: &Name,
        keys: &Keys,
        answer: &Message,
    ) -> Result<(), Verdict> {
        let labels = set.verify(zone, keys, self.now_s, &mut self.spent)?;
        if labels < set.name.num_labels() {
            // Made from a wildcard: that nothing nearer is there has to be shown (RFC 4035 §5.3.4).
            let denials =
                Denials::of(&answer.authorities, zone, keys, self.now_s, &mut self.spent)?;
            denials.nothing_nearer(&set.name, labels, &mut self.spent)?;
        }
        Ok(())
    }

    /// That there is no such name, or nothing of this type.
    fn negative(
        &mut self,
        (name, kind): (&Name, RecordType),
        zone: &Name,
        keys: &Keys,
        answer: &Message,
    ) -> Result<(), Verdict> {
        let denials = Denials::of(&answer.authorities, zone, keys, self.now_s, &mut self.spent)?;
        let nothing_at_all = answer.metadata.response_code == ResponseCode::NXDomain;
        denials.deny(name, kind, nothing_at_all, &mut self.spent)
    }

    /// What something without a signature is: insecure below a zone that is not signed, bogus otherwise.
    fn unsigned(
        &mut self,
        name: &Name,
        kind: RecordType,
        fetched: &Fetched,
    ) -> Result<Verdict, Next> {
        let below = if kind == RecordType::DS { name.base_name() } else { name.clone() };
        let zone = self.walk(&below, fetched)?;
        let why = format!("the zone {zone} is signed, and the answer for {name} {kind} is not");
        Ok(Verdict::new(Trust::Bogus, &zone, why))
    }

    /// The keys of a zone, from the root down.
    fn keys_of(&mut self, zone: &Name, fetched: &Fetched) -> Result<Keys, Next> {
        let found = self.walk(zone, fetched)?;
        match self.cuts.get(&found) {
            Some(Cut::Zone(keys)) if found == *zone => Ok(keys.clone()),
            _ => {
                let why =
                    format!("{zone} signs, and is no zone of its own: its parent has no DS for it");
                Err(Verdict::new(Trust::Bogus, &found, why).into())
            }
        }
    }

    /// The lowest zone that `name` is in, which is signed like all above it.
    fn walk(&mut self, name: &Name, fetched: &Fetched) -> Result<Name, Next> {
        let root = Name::root();
        if !self.cuts.contains_key(&root) {
            let keys = self.root(fetched)?;
            self.cuts.insert(root.clone(), Cut::Zone(keys));
        }
        let mut zone = root;
        // A wildcard's first label counts like any other here.
        for labels in 1..=name.iter().count() {
            let child = name.trim_to(labels);
            if !self.cuts.contains_key(&child) {
                let cut = self.cut(&zone, &child, fetched)?;
                self.cuts.insert(child.clone(), cut);
            }
            match self.cuts.get(&child) {
                Some(Cut::Zone(_)) => zone = child,
                Some(Cut::Insecure(why)) => {
                    return Err(Verdict::new(Trust::Insecure, &child, why).into());
                }
                Some(Cut::None) | None => {}
            }
        }
        Ok(zone)
    }

    fn root(&mut self, fetched: &Fetched) -> Result<Keys, Next> {
        let root = Name::root();
        let message = fetch(fetched, &root, RecordType::DNSKEY)?;
        let anchors: Vec<&DS> = self.anchors.0.iter().collect();
        self.keys(&root, message, &anchors, "the anchors of this node")
    }

    /// What `child` is to `zone`, the lowest one above it.
    fn cut(&mut self, zone: &Name, child: &Name, fetched: &Fetched) -> Result<Cut, Next> {
        let Some(Cut::Zone(keys)) = self.cuts.get(zone).cloned() else { return Ok(Cut::None) };
        let message = fetch(fetched, child, RecordType::DS)?;
        let Some(set) = Set::of(&message.answers, child, RecordType::DS) else {
            if let Some(alias) = Set::of(&message.answers, child, RecordType::CNAME) {
                // Where an alias stands no zone begins (RFC 2181 §10.1).
                alias.verify(zone, &keys, self.now_s, &mut self.spent)?;
                return Ok(Cut::None);
            }
            let denials =
                Denials::of(&message.authorities, zone, &keys, self.now_s, &mut self.spent)?;
            let insecure = denials.no_ds(child, &mut self.spent)?;
            return Ok(insecure.map_or(Cut::None, Cut::Insecure));
        };
        let all = set.records.iter().take(MAX_DS).filter_map(|record| match data(record) {
            Some(DNSSECRData::DS(ds)) => Some(ds),
            _ => None,
        });
        let mut known: Vec<&DS> = all
            .filter(|ds| ds.algorithm().is_supported() && ds.digest_type().is_supported())
            .collect();
        // RFC 4509 §3: where there is a stronger one, SHA-1 is not looked at.
        if known.iter().any(|ds| ds.digest_type() != DigestType::SHA1) {
            known.retain(|ds| ds.digest_type() != DigestType::SHA1);
        }
        if !known.is_empty() {
            fetch(fetched, child, RecordType::DNSKEY)?;
        }
        set.verify(zone, &keys, self.now_s, &mut self.spent)?;
        if known.is_empty() {
            let why = "its DS records are of algorithms or digests that are not understood";
            return Ok(Cut::Insecure(why.into()));
        }
        let message = fetch(fetched, child, RecordType::DNSKEY)?;
        self.keys(child, message, &known, "the DS records of its parent").map(Cut::Zone)
    }

    /// The keys of a zone that `trusted` vouches for.
    fn keys(
        &mut self,
        zone: &Name,
        message: &Message,
        trusted: &[&DS],
        by: &str,
    ) -> Result<Keys, Next> {
        let Some(set) = Set::of(&message.answers, zone, RecordType::DNSKEY) else {
            let why = format!("{zone} has no DNSKEY records, and should: by {by}");
            return Err(Verdict::new(Trust::Bogus, zone, why).into());
        };
        let keys = Keys::of(&set.records);
        let is_vouched_for = |tag: u16, key: &DNSKEY| {
            trusted.iter().any(|ds| {
                ds.key_tag() == tag
                    && ds.algorithm() == key.public_key().algorithm()
                    && ds.covers(zone, key).unwrap_or(false)
            })
        };
        let vouched = keys.that(is_vouched_for);
        if vouched.is_empty() {
            let tags: Vec<String> = trusted.iter().map(|ds| ds.key_tag().to_string()).collect();
            let why = format!("none of the keys of {zone} is in {by} ({})", tags.join(", "));
            return Err(Verdict::new(Trust::Bogus, zone, why).into());
        }
        set.verify(zone, &vouched, self.now_s, &mut self.spent)?;
        Ok(keys)
    }
}

/// Where an alias leads, and the set that says so. What a DNAME makes of a name is not signed, the DNAME is
/// (RFC 6672 §5.3.1).
fn aliased<'m>(alias: &Set<'m>, answer: &'m Message) -> Result<(Set<'m>, Name), String> {
    let [record] = &alias.records[..] else {
        return Err(format!("{} has {} aliases at once", alias.name, alias.records.len()));
    };
    let RData::CNAME(to) = &record.data else {
        return Err(format!("the alias of {} cannot be read", alias.name));
    };
    let makes_it = |record: &&Record| {
        record.name != alias.name
            && record.name.zone_of(&alias.name)
            && dname(record)
                .and_then(|target| substituted(&alias.name, &record.name, &target))
                .is_some_and(|made| made == to.0)
    };
    let by = answer.answers.iter().find(makes_it);
    let by = by.and_then(|dname| Set::of(&answer.answers, &dname.name, RecordType::DNAME));
    Ok((by.unwrap_or_else(|| alias.clone()), to.0.clone()))
}

/// Where a DNAME leads (RFC 6672 §2.1).
fn dname(record: &Record) -> Option<Name> {
    match &record.data {
        RData::Unknown { code: RecordType::DNAME, rdata } => Name::from_bytes(&rdata.anything).ok(),
        _ => None,
    }
}

fn substituted(name: &Name, owner: &Name, target: &Name) -> Option<Name> {
    let more = name.iter().count().checked_sub(owner.iter().count())?;
    Name::from_labels(name.iter().take(more)).ok()?.append_domain(target).ok()
}

fn fetch<'m>(fetched: &'m Fetched, name: &Name, kind: RecordType) -> Result<&'m Message, Next> {
    match fetched.get(&(name.clone(), kind)) {
        None => Err(Next::Needs(name.clone(), kind)),
        Some(Ok(message)) => match message.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(message),
            code => {
                let why = format!("{name} {kind} is not to be had: the server answers {code:?}");
                Err(Verdict::new(Trust::Indeterminate, name, why).into())
            }
        },
        Some(Err(why)) => {
            let why = format!("{name} {kind} is not to be had: {why}");
            Err(Verdict::new(Trust::Indeterminate, name, why).into())
        }
    }
}
