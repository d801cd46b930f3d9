//! The collector: sockets and threads around decoders.
//!
//! A UDP listener has several sockets of one address (`SO_REUSEPORT`). The kernel spreads senders
//! over them by address and port, so an exporter stays with one socket, and that socket's thread has
//! a decoder of its own: nothing is shared on the way. A TCP session has its own thread and decoder
//! too, for its templates end with it (RFC 7011 §10.4).

mod sys;
mod tcp;
mod udp;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use holm_model::TenantId;

use crate::config::{Listener, Transport};
use crate::counters::Counters;
use crate::decoder::{Batch, ExporterReport};
use crate::limits::Limits;
use crate::meaning::Tables;
use crate::state::FlowState;
use tcp::TcpListening;
use udp::UdpListening;
use worker::Work;

/// The sink has no room; the batch's rows are lost and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkFull;

/// Where batches go.
pub trait FlowSink: Send + Sync {
    /// Takes a batch of `tenant`. Never blocks: the kernel drops datagrams meanwhile.
    ///
    /// # Errors
    /// [`SinkFull`] if there is no room.
    fn take(&self, tenant: &TenantId, batch: Batch) -> Result<(), SinkFull>;
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {transport:?} {address}: {cause}; choose a free port, or one above 1023")]
pub struct ListenError {
    transport: Transport,
    address: SocketAddr,
    #[source]
    cause: io::Error,
}

/// What a collector did until now.
#[derive(Debug, Clone, Default)]
pub struct CollectorReport {
    /// Counters of all exporters, those that are forgotten included.
    pub totals: Counters,
    /// Every exporter that is known, by address.
    pub exporters: Vec<ExporterReport>,
    /// Datagrams that the kernel dropped because a socket's buffer was full (`SO_RXQ_OVFL`).
    pub kernel_drops: u64,
    /// Bytes that the kernel grants the buffers of all sockets.
    pub receive_buffer_bytes: u64,
    /// Data sets that wait for their template now.
    pub pending_sets: u64,
    /// TCP sessions now.
    pub tcp_sessions: u64,
    /// TCP sessions that were refused because there were too many.
    pub tcp_refused: u64,
    /// TCP sessions that were closed because what they sent is not IPFIX.
    pub tcp_broken: u64,
    /// Errors of receiving.
    pub receive_errors: u64,
}

/// Listeners of one tenant that run.
#[derive(Debug)]
pub struct Collector {
    udp: Vec<UdpListening>,
    tcp: Vec<TcpListening>,
}

impl Collector {
    /// Opens `listeners` and starts their threads. All that comes in is `tenant`'s, and gets the
    /// columns of `tables`.
    ///
    /// # Errors
    /// [`ListenError`] names the listener that could not be opened; no thread is left behind.
    pub fn start(
        tenant: &TenantId,
        listeners: &[Listener],
        limits: &Limits,
        state: Option<&FlowState>,
        sink: &Arc<dyn FlowSink>,
        tables: &Arc<Tables>,
    ) -> Result<Self, ListenError> {
        let (sink, tables) = (Arc::clone(sink), Arc::clone(tables));
        let work = Work { tenant: tenant.clone(), limits: limits.clone(), sink, tables };
        // Dropped on an error, which stops what was started.
        let mut all = Self { udp: Vec::new(), tcp: Vec::new() };
        for listener in listeners {
            let (transport, address) = (listener.transport, listener.address);
            let failed = |cause| ListenError { transport, address, cause };
            match transport {
                Transport::Udp => {
                    all.udp.push(UdpListening::start(listener, &work, state).map_err(failed)?);
                }
                Transport::Tcp => {
                    all.tcp.push(TcpListening::start(listener, &work).map_err(failed)?);
                }
            }
        }
        Ok(all)
    }

    /// The addresses that are listened at, UDP first, with the ports that the kernel chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let udp = self.udp.iter().map(|listening| listening.address);
        udp.chain(self.tcp.iter().map(|listening| listening.address)).collect()
    }

    /// What was counted, at most a second old.
    pub fn report(&self) -> CollectorReport {
        let mut report = CollectorReport::default();
        for listening in &self.udp {
            listening.add_to(&mut report);
        }
        for listening in &self.tcp {
            listening.add_to(&mut report);
        }
        report.exporters = joined(report.exporters);
        report
    }

    /// Grows whenever something is learnt that [`Self::state`] has and a restart must not lose.
    pub fn learnt(&self) -> u64 {
        self.udp.iter().map(UdpListening::learnt).sum()
    }

    /// What is known of exporters that send by UDP, at most a second old.
    pub fn state(&self) -> FlowState {
        FlowState::join(self.udp.iter().flat_map(UdpListening::states))
    }

    /// Stops all threads, after what they hold went to the sink; returns what is known of exporters.
    pub fn stop(mut self) -> FlowState {
        self.end();
        self.state()
    }

    fn end(&mut self) {
        for listening in &mut self.udp {
            listening.stop();
        }
        for listening in &mut self.tcp {
            listening.stop();
        }
    }
}

/// One report for each exporter: after a restart every socket knows it, and one of them hears it.
fn joined(mut reports: Vec<ExporterReport>) -> Vec<ExporterReport> {
    reports.sort_by_key(|report| report.from);
    reports.dedup_by(|next, kept| {
        let same = next.from == kept.from;
        if same {
            kept.heard_ns = kept.heard_ns.max(next.heard_ns);
            kept.domains = kept.domains.max(next.domains);
            kept.templates = kept.templates.max(next.templates);
            kept.waiting += next.waiting;
            kept.counters.add(&next.counters);
        }
        same
    });
    reports
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.end();
    }
}
