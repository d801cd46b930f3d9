//! Traces again and again, and shows it until it is told to end.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use holm_asn::{AsTable, Places};
use holm_model::Millis;
use holm_path::engine::{Algorithm, Multipath, TraceOptions};
use holm_path::mtu::{PathMtu, path_mtu};
use holm_path::name_hops;
use holm_path::render;
use holm_path::rounds::Rounds;
use holm_path::socket::{Request, TraceError, Tracer};
use ratatui::Terminal;
use ratatui::backend::TermionBackend;
use ratatui::termion::event::Key;
use ratatui::termion::input::TermRead as _;
use ratatui::termion::raw::IntoRawMode as _;
use ratatui::termion::screen::IntoAlternateScreen as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::draw::{Screen, draw};
use super::screen::{Act, State, lines};

/// How often the picture is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// How often all ways are looked for; the rounds between are of one flow each.
const WHOLE_EVERY: Duration = Duration::from_secs(60);
/// The flows of the rounds between, in turn: they take the ways that are side by side.
const FLOWS_IN_TURN: u64 = 16;

/// What is traced, and how.
pub(super) struct Live {
    /// As it was asked for.
    pub(super) asked: String,
    pub(super) how: String,
    pub(super) tracer: Tracer,
    pub(super) request: Box<dyn Fn() -> Request>,
    /// From the beginning of one round to the next.
    pub(super) every: Duration,
    pub(super) table: Rc<AsTable>,
    pub(super) places: Rc<Places>,
    /// Whether the path MTU is looked for.
    pub(super) mtu: bool,
}

struct Round {
    whole: bool,
    ended: JoinHandle<Result<Multipath, TraceError>>,
    so_far: watch::Receiver<Option<Multipath>>,
    began: Instant,
}

/// Runs until a key, a signal or the terminal's end stops it; what was found last.
pub(super) async fn run(live: &Live) -> anyhow::Result<(Option<Multipath>, Option<String>)> {
    let mut keys = keys().context("the terminal gives no keys; --plain traces once")?;
    let screen = std::io::stdout().into_raw_mode()?.into_alternate_screen()?;
    // Dropped at the end, also of a panic: the terminal is then as it was.
    let mut terminal = Terminal::new(TermionBackend::new(screen))?;
    terminal.hide_cursor()?;
    let ended = shown(live, &mut terminal, &mut keys).await;
    let _ = terminal.show_cursor();
    ended
}

async fn shown<B>(
    live: &Live,
    terminal: &mut Terminal<B>,
    keys: &mut mpsc::Receiver<Key>,
) -> anyhow::Result<(Option<Multipath>, Option<String>)>
where
    B: ratatui::backend::Backend<Error = std::io::Error>,
{
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let target = (live.request)().target;
    let mut rounds = Rounds::new(target);
    let mut state = State::default();
    let mut round: Option<Round> = None;
    let mut looking = live.mtu.then(|| tokio::spawn(path_mtu(target, (live.request)().port)));
    state.mtu = looking.is_some().then(|| "path MTU: looking for it".to_owned());
    let mut next = Instant::now();
    let mut whole_at = Instant::now();
    let mut redraw = tokio::time::interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = Instant::now();
        if round.is_none() && !state.paused && now >= next {
            let whole = now >= whole_at;
            if whole {
                whole_at = now + WHOLE_EVERY;
            }
            round = Some(begin(live, whole, rounds.rounds));
        }
        state.looking = round.as_ref().is_some_and(|round| round.whole);
        picture(live, terminal, &rounds, &state, round.as_ref())?;
        tokio::select! {
            _ = redraw.tick() => {}
            _ = ended.recv() => return Ok((rounds.whole, state.mtu)),
            found = mtu_of(&mut looking) => {
                looking = None;
                state.mtu = Some(match found? {
                    Ok(found) => super::mtu_text(found.as_ref()),
                    Err(error) => format!("path MTU not known: {error}"),
                });
            }
            key = keys.recv() => {
                let Some(key) = key else { return Ok((rounds.whole, state.mtu)) };
                state.note.clear();
                match state.key(key, lines(&rounds).len()) {
                    Act::Stay => {}
                    Act::Quit => return Ok((rounds.whole, state.mtu)),
                    Act::Restart => {
                        // The tracer stops what nobody waits for.
                        if let Some(round) = round.take() {
                            round.ended.abort();
                        }
                        rounds = Rounds::new(target);
                        (next, whole_at) = (now, now);
                    }
                    Act::WriteDot => state.note = write(&rounds, target, "dot"),
                    Act::WriteJson => state.note = write(&rounds, target, "json"),
                }
            }
            result = result_of(&mut round) => {
                let Some(over) = round.take() else { continue };
                next = over.began + live.every;
                match result {
                    Ok(Ok(mut found)) => {
                        name_hops(&mut found, &live.table, &live.places);
                        // It ends elsewhere: whether there are other ways is looked at next.
                        if !over.whole && !found.reached() && rounds.times.recent().next_back().flatten().is_some() {
                            whole_at = next;
                        }
                        rounds.take(found, over.whole);
                    }
                    Ok(Err(error)) => {
                        state.note = format!("{error}");
                        next = now + live.every.max(Duration::from_secs(1));
                        if over.whole {
                            whole_at = next;
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

fn picture<B>(
    live: &Live,
    terminal: &mut Terminal<B>,
    rounds: &Rounds,
    state: &State,
    round: Option<&Round>,
) -> anyhow::Result<()>
where
    B: ratatui::backend::Backend<Error = std::io::Error>,
{
    // Before the first round is over, what it has found so far.
    let so_far =
        round.filter(|_| rounds.rounds == 0).and_then(|round| round.so_far.borrow().clone());
    let first = so_far.map(|found| {
        let mut first = Rounds::new(found.target);
        first.take(found, true);
        first
    });
    let (target, how) = (live.asked.as_str(), live.how.as_str());
    let rounds = first.as_ref().unwrap_or(rounds);
    terminal.draw(|frame| {
        let whose = |address| {
            let system = live.table.origin(address).map(|origin| origin.to_string());
            let place = live.places.of(address).map(|place| place.to_string());
            match (system, place) {
                (Some(system), Some(place)) => Some(format!("{system}, {place}")),
                (system, place) => system.or(place),
            }
        };
        draw(frame, &Screen { rounds, state, target, how, whose: &whose });
    })?;
    Ok(())
}

async fn result_of(
    round: &mut Option<Round>,
) -> Result<Result<Multipath, TraceError>, tokio::task::JoinError> {
    match round {
        Some(round) => (&mut round.ended).await,
        None => std::future::pending().await,
    }
}

async fn mtu_of(
    looking: &mut Option<JoinHandle<Result<Option<PathMtu>, TraceError>>>,
) -> Result<Result<Option<PathMtu>, TraceError>, tokio::task::JoinError> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

/// Begins a round: all ways, or one flow of those that come in turn.
fn begin(live: &Live, whole: bool, number: u64) -> Round {
    let mut request = (live.request)();
    if !whole {
        request.flow_seed = request.flow_seed.wrapping_add(number % FLOWS_IN_TURN);
        request.options = TraceOptions {
            algorithm: Algorithm::Single,
            whole_flows: 1,
            attempts: 1,
            ..request.options
        };
    }
    let (tell, so_far) = watch::channel(None);
    if whole {
        let mut told = Instant::now();
        request.progress = Some(Box::new(move |trace| {
            if told.elapsed() >= REDRAW {
                told = Instant::now();
                tell.send_replace(Some(trace.result()));
            }
        }));
    }
    let tracer = live.tracer.clone();
    let ended = tokio::spawn(async move { tracer.trace(request).await });
    Round { whole, ended, so_far, began: Instant::now() }
}

/// The keys of the terminal, also where standard input is something else.
fn keys() -> std::io::Result<mpsc::Receiver<Key>> {
    let terminal = ratatui::termion::get_tty()?;
    let (tell, keys) = mpsc::channel(64);
    // It waits for a key for ever, and ends with the process.
    std::thread::spawn(move || {
        for key in terminal.keys() {
            let Ok(key) = key else { return };
            if tell.blocking_send(key).is_err() {
                return;
            }
        }
    });
    Ok(keys)
}

/// Writes the ways to a new file here; what to say of it.
fn write(rounds: &Rounds, target: IpAddr, kind: &str) -> String {
    let Some(whole) = &rounds.whole else { return "there is nothing to write yet".to_owned() };
    let at = Millis::now().0 / 1_000;
    let name = format!("holm-trace-{}-{at}.{kind}", target.to_string().replace(':', "-"));
    let text = match kind {
        "dot" => Ok(render::to_dot(whole)),
        _ => render::to_json(whole).map_err(std::io::Error::from),
    };
    let written = text.and_then(|text| {
        OpenOptions::new().write(true).create_new(true).open(&name)?.write_all(text.as_bytes())
    });
    match written {
        Ok(()) => format!("written: {name}"),
        Err(error) => format!("{name} cannot be written: {error}"),
    }
}
