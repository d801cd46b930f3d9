//! One reconciliation of one tenant between two nodes, over one reliable stream.
//!
//! The initiator opens with its first negentropy message (or, after a hint, with none) and learns
//! which documents differ; when both are expected to be equal, it asks for that with a fingerprint
//! first. For each of them both sides name their heads and send what the other lacks,
//! so both end equal. The sides speak in turn: neither ever writes while the other does, so no buffer
//! between them can fill on both sides at once. A session that breaks loses nothing: whatever was
//! applied stays, and the next session finds the rest.

mod differences;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::{DocId, DocVersion, SiteId, TenantId};

use self::differences::{Comparison, compare, document_of, fingerprint, reconcile_error};
use crate::wire::{MAX_CHUNK_BYTES, MAX_DOCUMENT_BYTES, Sync};
use crate::{DocumentStore, Scope, SyncReport};

/// Documents whose heads are exchanged before the other side speaks again.
const WINDOW: usize = 1_024;
/// Most round trips to find differences: enough for a million documents that all differ.
const MAX_ROUNDS: u64 = 512;
/// Most differing documents in one session; the rest waits for the next.
const MAX_DIFFERENT: usize = 65_536;

/// Why a session ended early. Whatever was applied before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The peer's message does not fit here.
    #[error("the peer sent {got} while {expected} was expected: it breaks the protocol")]
    Unexpected {
        /// What came.
        got: &'static str,
        /// What could have come.
        expected: &'static str,
    },
    /// Negentropy refused the peer's message, or ran for too long.
    #[error("finding the differences failed: {0}")]
    Reconcile(String),
    /// The responder will not reconcile this tenant with this node.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// We will not reconcile this tenant with the peer.
    #[error("site {site} may not replicate this tenant: grant it, or ignore this if it should not")]
    NotPermitted {
        /// The peer's site.
        site: SiteId,
    },
}

/// Who the peer of a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPeer {
    /// Its site, by which permission is judged.
    pub site: SiteId,
    /// Its name for provenance.
    pub name: String,
}

/// One side of a reconciliation. The driver alternates: send all that [`Session::poll_transmit`]
/// gives, then, unless [`Session::is_done`], hand in one message with [`Session::handle`].
pub struct Session {
    peer: SyncPeer,
    state: State,
    out: VecDeque<Out>,
    chunks: VecDeque<Vec<u8>>,
    incoming: Option<Incoming>,
    learned: Vec<DocVersion>,
    report: SyncReport,
}

enum State {
    /// Initiator: waits for whether anything differs at all.
    Probing {
        tenant: TenantId,
    },
    /// Initiator: waits for negentropy's answer.
    Comparing {
        tenant: TenantId,
        negentropy: Box<Comparison>,
        differing: Differing,
    },
    /// Initiator: waits for documents of this window, then for what the responder made of ours.
    Exchanging {
        tenant: TenantId,
        /// Documents asked for, with the peer's heads.
        window: BTreeMap<DocId, Vec<[u8; 32]>>,
        rest: VecDeque<DocId>,
        pushing: bool,
        pushed_before: u64,
    },
    /// Responder: waits for Open.
    Waiting,
    /// Responder: answers.
    Answering {
        tenant: TenantId,
        negentropy: Option<Box<Comparison>>,
    },
    Done,
}

#[derive(Default)]
struct Differing {
    documents: BTreeSet<DocId>,
}

enum Out {
    Say(Sync),
    /// Exported only when it is its turn, so that one document is in memory at a time.
    Export {
        tenant: TenantId,
        doc: DocId,
        have: Vec<[u8; 32]>,
        always: bool,
    },
    /// Initiator: hand over if anything was pushed, else go on.
    EndOfPush,
}

struct Incoming {
    doc: DocId,
    length: usize,
    bytes: Vec<u8>,
}

impl Session {
    /// The side that begins.
    ///
    /// # Errors
    /// [`SyncError::NotPermitted`] before the tenant is named to the peer.
    pub fn initiate(
        peer: SyncPeer,
        tenant: TenantId,
        scope: Scope,
        store: &dyn DocumentStore,
    ) -> Result<Self, SyncError> {
        if !store.may_replicate(&peer.site, &tenant) {
            return Err(SyncError::NotPermitted { site: peer.site });
        }
        let mut session = Self::new(peer, State::Done);
        match scope {
            Scope::All => {
                let mut negentropy = compare(store, &tenant)?;
                let reconcile = negentropy.initiate().map_err(reconcile_error)?;
                session.say(Sync::Open { tenant: tenant.clone(), reconcile });
                let differing = Differing::default();
                session.state = State::Comparing { tenant, negentropy, differing };
            }
            Scope::Unchanged => {
                let fingerprint = fingerprint(store, &tenant);
                session.say(Sync::Probe { tenant: tenant.clone(), fingerprint });
                session.state = State::Probing { tenant };
            }
            Scope::Documents(documents) => {
                session.say(Sync::Open { tenant: tenant.clone(), reconcile: Vec::new() });
                session.next_window(tenant, documents.into_iter().collect(), store);
            }
        }
        Ok(session)
    }

    /// The side that answers.
    pub const fn respond(peer: SyncPeer) -> Self {
        Self::new(peer, State::Waiting)
    }

    const fn new(peer: SyncPeer, state: State) -> Self {
        Self {
            peer,
            state,
            out: VecDeque::new(),
            chunks: VecDeque::new(),
            incoming: None,
            learned: Vec::new(),
            report: SyncReport {
                pulled: 0,
                pushed: 0,
                failed: 0,
                rounds: 0,
                bytes_out: 0,
                bytes_in: 0,
                first_failure: None,
            },
        }
    }

    /// The next message to send, until `None`.
    pub fn poll_transmit(&mut self, store: &dyn DocumentStore) -> Option<Sync> {
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                return Some(Sync::Chunk(chunk));
            }
            match self.out.pop_front()? {
                Out::Say(message) => return Some(message),
                Out::Export { tenant, doc, have, always } => {
                    if let Some(message) = self.export(store, &tenant, doc, &have, always) {
                        return Some(message);
                    }
                }
                Out::EndOfPush => {
                    if let Some(message) = self.end_of_push(store) {
                        return Some(message);
                    }
                }
            }
        }
    }

    /// Takes one message of the peer.
    ///
    /// # Errors
    /// [`SyncError`]; the session is over and the stream is to be reset.
    pub fn handle(&mut self, message: Sync, store: &dyn DocumentStore) -> Result<(), SyncError> {
        if !self.is_permitted(store) {
            return Err(SyncError::NotPermitted { site: self.peer.site.clone() });
        }
        match (&mut self.state, message) {
            (_, Sync::Chunk(bytes)) => self.chunk(bytes, store),
            (_, message) if self.incoming.is_some() => Err(unexpected(&message, "a chunk")),
            (State::Probing { .. }, Sync::Same) => {
                self.report.rounds += 1;
                self.state = State::Done;
                Ok(())
            }
            (State::Probing { tenant }, Sync::Differs) => {
                let tenant = tenant.clone();
                self.report.rounds += 1;
                let mut negentropy = compare(store, &tenant)?;
                let reconcile = negentropy.initiate().map_err(reconcile_error)?;
                self.say(Sync::Reconcile(reconcile));
                let differing = Differing::default();
                self.state = State::Comparing { tenant, negentropy, differing };
                Ok(())
            }
            (State::Comparing { .. }, Sync::Reconcile(bytes)) => self.compared(&bytes, store),
            (
                State::Probing { .. } | State::Comparing { .. } | State::Exchanging { .. },
                Sync::Refused { reason },
            ) => Err(SyncError::Refused(reason)),
            (
                State::Exchanging { window, pushing: false, .. },
                Sync::Document { doc, heads, length },
            ) => {
                let Some(theirs) = window.get_mut(&doc) else {
                    return Err(unexpected(&Sync::Turn, "a document that was asked for"));
                };
                *theirs = heads;
                self.document(doc, length, store)
            }
            (State::Exchanging { .. }, Sync::Applied { error, .. }) => {
                if let Some(error) = error {
                    self.failed(error);
                }
                Ok(())
            }
            (State::Exchanging { .. }, Sync::Turn) => {
                self.turn_of_initiator(store);
                Ok(())
            }
            (State::Waiting, Sync::Open { tenant, reconcile }) => {
                self.opened(tenant, &reconcile, store)
            }
            (State::Waiting, Sync::Probe { tenant, fingerprint: theirs }) => {
                if !self.admits(&tenant, store) {
                    return Ok(());
                }
                self.report.rounds += 1;
                if fingerprint(store, &tenant) == theirs {
                    // The last word is ours: nothing is left to say.
                    self.say(Sync::Same);
                    self.state = State::Done;
                } else {
                    self.say(Sync::Differs);
                    let negentropy = Some(compare(store, &tenant)?);
                    self.state = State::Answering { tenant, negentropy };
                }
                Ok(())
            }
            (State::Answering { negentropy: Some(negentropy), .. }, Sync::Reconcile(bytes)) => {
                let answer = negentropy.reconcile(&bytes).map_err(reconcile_error)?;
                self.report.rounds += 1;
                if self.report.rounds > MAX_ROUNDS {
                    return Err(SyncError::Reconcile("too many rounds".to_owned()));
                }
                self.say(Sync::Reconcile(answer));
                Ok(())
            }
            (State::Answering { tenant, .. }, Sync::Exchange { doc, heads }) => {
                if self.out.len() >= WINDOW {
                    return Err(unexpected(
                        &Sync::Exchange { doc, heads },
                        "the peer's turn to end",
                    ));
                }
                let tenant = tenant.clone();
                self.out.push_back(Out::Export { tenant, doc, have: heads, always: true });
                Ok(())
            }
            (State::Answering { .. }, Sync::Document { doc, length, .. }) => {
                self.document(doc, length, store)
            }
            (State::Answering { .. }, Sync::Turn) => {
                self.say(Sync::Turn);
                Ok(())
            }
            (State::Answering { .. }, Sync::Done) => {
                self.state = State::Done;
                Ok(())
            }
            (State::Probing { .. }, other) => Err(unexpected(&other, "same or differs")),
            (State::Comparing { .. }, other) => Err(unexpected(&other, "negentropy's answer")),
            (State::Exchanging { .. }, other) => Err(unexpected(&other, "documents")),
            (State::Waiting, other) => Err(unexpected(&other, "the opening")),
            (State::Answering { .. }, other) => Err(unexpected(&other, "an exchange or the end")),
            (State::Done, other) => Err(unexpected(&other, "nothing")),
        }
    }

    /// Whether everything was said and heard.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done) && self.out.is_empty() && self.chunks.is_empty()
    }

    /// Versions that are new here since the last call.
    pub fn take_learned(&mut self) -> Vec<DocVersion> {
        std::mem::take(&mut self.learned)
    }

    /// What was done so far; the driver adds the bytes.
    pub const fn report(&self) -> &SyncReport {
        &self.report
    }

    /// A grant may end while a session runs: asked again with every message and every document.
    fn is_permitted(&self, store: &dyn DocumentStore) -> bool {
        match &self.state {
            State::Probing { tenant }
            | State::Comparing { tenant, .. }
            | State::Exchanging { tenant, .. }
            | State::Answering { tenant, .. } => store.may_replicate(&self.peer.site, tenant),
            State::Waiting | State::Done => true,
        }
    }

    /// One answer for "not here" and "not for you": the peer learns neither.
    fn admits(&mut self, tenant: &TenantId, store: &dyn DocumentStore) -> bool {
        if store.tenants().contains(tenant) && store.may_replicate(&self.peer.site, tenant) {
            return true;
        }
        self.say(Sync::Refused { reason: "not replicated between these sites".to_owned() });
        self.state = State::Done;
        false
    }

    fn opened(
        &mut self,
        tenant: TenantId,
        reconcile: &[u8],
        store: &dyn DocumentStore,
    ) -> Result<(), SyncError> {
        if !self.admits(&tenant, store) {
            return Ok(());
        }
        let mut negentropy = None;
        if !reconcile.is_empty() {
            let mut comparison = compare(store, &tenant)?;
            let answer = comparison.reconcile(reconcile).map_err(reconcile_error)?;
            self.report.rounds += 1;
            self.say(Sync::Reconcile(answer));
            negentropy = Some(comparison);
        }
        self.state = State::Answering { tenant, negentropy };
        Ok(())
    }

    fn compared(&mut self, bytes: &[u8], store: &dyn DocumentStore) -> Result<(), SyncError> {
        let State::Comparing { tenant, negentropy, differing } = &mut self.state else {
            return Ok(());
        };
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let next =
            negentropy.reconcile_with_ids(bytes, &mut have, &mut need).map_err(reconcile_error)?;
        self.report.rounds += 1;
        for id in have.iter().chain(&need) {
            if differing.documents.len() < MAX_DIFFERENT {
                differing.documents.insert(document_of(id));
            }
        }
        match next {
            Some(_) if self.report.rounds >= MAX_ROUNDS => {
                return Err(SyncError::Reconcile("too many rounds".to_owned()));
            }
            Some(message) => self.say(Sync::Reconcile(message)),
            None => {
                let tenant = tenant.clone();
                let rest = std::mem::take(&mut differing.documents).into_iter().collect();
                self.next_window(tenant, rest, store);
            }
        }
        Ok(())
    }

    fn next_window(
        &mut self,
        tenant: TenantId,
        mut rest: VecDeque<DocId>,
        store: &dyn DocumentStore,
    ) {
        if rest.is_empty() {
            self.say(Sync::Done);
            self.state = State::Done;
            return;
        }
        let pushed_before = self.report.pushed;
        let mut window = BTreeMap::new();
        for doc in rest.drain(..rest.len().min(WINDOW)) {
            let heads = store.heads(&tenant, &doc);
            self.out.push_back(Out::Say(Sync::Exchange { doc, heads }));
            window.insert(doc, Vec::new());
        }
        self.say(Sync::Turn);
        self.state = State::Exchanging { tenant, window, rest, pushing: false, pushed_before };
    }

    fn turn_of_initiator(&mut self, store: &dyn DocumentStore) {
        let State::Exchanging { tenant, window, rest, pushing, .. } = &mut self.state else {
            return;
        };
        if *pushing {
            let (tenant, rest) = (tenant.clone(), std::mem::take(rest));
            self.next_window(tenant, rest, store);
            return;
        }
        *pushing = true;
        for (doc, have) in std::mem::take(window) {
            let tenant = tenant.clone();
            self.out.push_back(Out::Export { tenant, doc, have, always: false });
        }
        self.out.push_back(Out::EndOfPush);
    }

    /// After the window's exports: the peer's turn if anything went to it, else on to the next.
    fn end_of_push(&mut self, store: &dyn DocumentStore) -> Option<Sync> {
        let State::Exchanging { tenant, rest, pushed_before, .. } = &mut self.state else {
            return None;
        };
        if self.report.pushed > *pushed_before {
            return Some(Sync::Turn);
        }
        let (tenant, rest) = (tenant.clone(), std::mem::take(rest));
        self.next_window(tenant, rest, store);
        None
    }

    fn export(
        &mut self,
        store: &dyn DocumentStore,
        tenant: &TenantId,
        doc: DocId,
        have: &[[u8; 32]],
        always: bool,
    ) -> Option<Sync> {
        if !self.is_permitted(store) {
            self.failed(format!("site {} may no longer replicate this tenant", self.peer.site));
            return always.then_some(Sync::Document { doc, heads: Vec::new(), length: 0 });
        }
        let mut bytes = store.export(tenant, &doc, have).unwrap_or_else(|error| {
            self.failed(error);
            Vec::new()
        });
        if bytes.len() > MAX_DOCUMENT_BYTES {
            self.failed(format!("document {doc} exports {} bytes: over the limit", bytes.len()));
            bytes.clear();
        }
        if bytes.is_empty() && !always {
            return None;
        }
        if !bytes.is_empty() {
            self.report.pushed += 1;
        }
        self.chunks = bytes.chunks(MAX_CHUNK_BYTES).map(<[u8]>::to_vec).collect();
        Some(Sync::Document { doc, heads: store.heads(tenant, &doc), length: bytes.len() })
    }

    fn document(
        &mut self,
        doc: DocId,
        length: usize,
        store: &dyn DocumentStore,
    ) -> Result<(), SyncError> {
        if length == 0 {
            return Ok(());
        }
        // Reserved as the bytes come, not as they are announced.
        self.incoming = Some(Incoming { doc, length, bytes: Vec::new() });
        self.chunk(Vec::new(), store)
    }

    fn chunk(&mut self, bytes: Vec<u8>, store: &dyn DocumentStore) -> Result<(), SyncError> {
        let Some(incoming) = &mut self.incoming else {
            return Err(unexpected(&Sync::Chunk(bytes), "a document before its chunks"));
        };
        if incoming.bytes.len() + bytes.len() > incoming.length {
            return Err(unexpected(&Sync::Chunk(bytes), "no more than the announced bytes"));
        }
        incoming.bytes.extend_from_slice(&bytes);
        if incoming.bytes.len() < incoming.length {
            return Ok(());
        }
        if let Some(incoming) = self.incoming.take() {
            self.apply(&incoming, store);
        }
        Ok(())
    }

    fn apply(&mut self, incoming: &Incoming, store: &dyn DocumentStore) {
        let (tenant, answers) = match &self.state {
            State::Exchanging { tenant, .. } => (tenant, false),
            State::Answering { tenant, .. } => (tenant, true),
            _ => return,
        };
        let result = store.apply(tenant, &incoming.doc, &self.peer.name, &incoming.bytes);
        let error = match result {
            Ok(version) => {
                self.report.pulled += u64::from(version.is_some());
                self.learned.extend(version);
                None
            }
            Err(error) => {
                self.failed(error.clone());
                Some(error)
            }
        };
        if answers {
            self.say(Sync::Applied { doc: incoming.doc, error });
        }
    }

    fn failed(&mut self, error: String) {
        self.report.failed += 1;
        self.report.first_failure.get_or_insert(error);
    }

    fn say(&mut self, message: Sync) {
        self.out.push_back(Out::Say(message));
    }
}

const fn unexpected(message: &Sync, expected: &'static str) -> SyncError {
    let got = match message {
        Sync::Applied { .. } => "applied",
        Sync::Chunk(_) => "a chunk",
        Sync::Document { .. } => "a document",
        Sync::Differs => "a difference",
        Sync::Done => "the end",
        Sync::Exchange { .. } => "an exchange",
        Sync::Open { .. } => "an opening",
        Sync::Probe { .. } => "a question",
        Sync::Same => "an agreement",
        Sync::Reconcile(_) => "negentropy's message",
        Sync::Refused { .. } => "a refusal",
        Sync::Turn => "the end of its turn",
    };
    SyncError::Unexpected { got, expected }
}
