//! `holm flow decode`: exporters' datagrams as JSON lines, offline.

use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use holm_flow::{Batch, Carrier, Decoder, Limits, Passed, Raw, Sent, read_datagrams};

/// How a file that is no capture is read.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RawForm {
    /// Each file is one datagram.
    One,
    /// Datagrams one after the other, before each its length: four bytes, most significant first.
    Prefixed,
}

#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// Captures (pcap, pcapng) or raw datagrams, in order; `-` is standard input. Templates of one file hold
    /// for the next.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only what went to this port, whatever it looks like; may be given again. Otherwise everything in a
    /// capture that is built like NetFlow v5 or v9, IPFIX or sFlow v5.
    #[arg(long)]
    port: Vec<u16>,
    /// How files that are no capture are read.
    #[arg(long, default_value = "one")]
    raw: RawForm,
    /// Also the samples of interface counters.
    #[arg(long)]
    counters: bool,
    /// Say nothing about what was passed over.
    #[arg(long)]
    quiet: bool,
}

/// Decoders by what carries the messages, and what they print to.
struct Printing {
    udp: Decoder,
    tcp: Decoder,
    counters: bool,
    out: BufWriter<io::StdoutLock<'static>>,
    text: String,
    failed: Option<io::Error>,
}

impl Printing {
    fn decode(&mut self, sent: Sent<'_>) {
        if self.failed.is_some() {
            return;
        }
        let Self { udp, tcp, counters, out, text, failed } = self;
        let decoder = if sent.tcp { tcp } else { udp };
        let mut print = |batch: Batch| print(&batch, *counters, text, out, failed);
        decoder.decode(sent.from, sent.time_ns, sent.bytes, &mut print);
        // In the order of datagrams, also between UDP and TCP.
        decoder.flush(&mut print);
    }
}

fn print(
    batch: &Batch,
    counters: bool,
    text: &mut String,
    out: &mut impl Write,
    failed: &mut Option<io::Error>,
) {
    let rows = match batch {
        Batch::Flows(rows) => rows,
        Batch::InterfaceCounters(rows) if counters => rows,
        Batch::InterfaceCounters(_) => return,
    };
    text.clear();
    holm_flow::write_json_lines(rows, text);
    if let Err(error) = out.write_all(text.as_bytes()) {
        failed.get_or_insert(error);
    }
}

/// Decodes the files. Nothing is asked of a node.
pub(super) fn decode(args: &DecodeArgs) -> anyhow::Result<()> {
    // One datagram a batch: small ones, so that little is cleared for each.
    let limits = Limits { batch_rows: 256, ..Limits::default() };
    let mut printing = Printing {
        udp: Decoder::new(limits.clone(), Carrier::Udp),
        tcp: Decoder::new(limits, Carrier::Tcp),
        counters: args.counters,
        out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        text: String::new(),
        failed: None,
    };
    let raw = match args.raw {
        RawForm::One => Raw::One,
        RawForm::Prefixed => Raw::Prefixed,
    };
    let mut broken = Vec::new();
    let mut all = Passed::default();
    for path in &args.files {
        let input: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = std::fs::File::open(path);
            Box::new(file.with_context(|| format!("{}: cannot be opened", path.display()))?)
        };
        match read_datagrams(input, raw, &args.port, &mut |sent| printing.decode(sent)) {
            Ok(passed) => add(&mut all, &passed),
            Err(error) => broken.push(format!("{}: {error}", path.display())),
        }
    }
    printing.out.flush().or_else(|error| printing.failed.take().map_or(Err(error), Err))?;
    if let Some(error) = printing.failed {
        return Err(error).context("the lines cannot be written");
    }
    if !args.quiet {
        eprint!("{}", summary(&printing, &all));
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    Ok(())
}

fn add(all: &mut Passed, one: &Passed) {
    all.packets += one.packets;
    all.datagrams += one.datagrams;
    all.other += one.other;
    all.foreign += one.foreign;
    all.cut += one.cut;
    all.fragments += one.fragments;
    all.segments += one.segments;
}

fn summary(printing: &Printing, passed: &Passed) -> String {
    let mut totals = printing.udp.totals();
    totals.add(&printing.tcp.totals());
    let waiting = printing.udp.pending().0 + printing.tcp.pending().0;
    let mut said = vec![
        ("packets", passed.packets),
        ("packets that are not UDP or TCP", passed.other),
        ("datagrams of others", passed.foreign),
        ("packets cut short by the capture", passed.cut),
        ("fragments without their others", passed.fragments),
        ("TCP segments out of order", passed.segments),
        ("data sets whose template never came", waiting as u64),
    ];
    let counted: Vec<(&str, u64)> = totals.each().collect();
    said.extend(counted);
    let said = said.into_iter().filter(|(_, count)| *count > 0);
    said.map(|(what, count)| format!("{what}: {count}\n")).collect()
}
