//! Draws the live picture of `holm trace`: a model and a frame, nothing else.

use std::net::IpAddr;

use holm_path::engine::ReplyKind;
use holm_path::render::{alias_text, unreachable_text};
use holm_path::rounds::{HopRounds, InterfaceRounds, Rounds, Times};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};

use super::figures::{ms, percent, spark};
use super::screen::{Line, State, lines};

/// Widest picture of recent round trips.
const WIDEST_SPARK: usize = 30;
/// Height of the details of a line.
const DETAIL_LINES: u16 = 9;

/// Everything that is drawn.
pub(super) struct Screen<'a> {
    pub(super) rounds: &'a Rounds,
    pub(super) state: &'a State,
    /// What is traced, as it was asked for.
    pub(super) target: &'a str,
    /// By what means.
    pub(super) how: &'a str,
    /// Whose an address is, if there is a table.
    pub(super) whose: &'a dyn Fn(IpAddr) -> Option<String>,
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Hop,
    Interface,
    Marks,
    Loss,
    Silent,
    Last,
    Avg,
    Best,
    Worst,
    Jitter,
    Recent,
    Whose,
}

impl Column {
    const ALL: [Self; 12] = [
        Self::Hop,
        Self::Interface,
        Self::Marks,
        Self::Loss,
        Self::Silent,
        Self::Last,
        Self::Avg,
        Self::Best,
        Self::Worst,
        Self::Jitter,
        Self::Recent,
        Self::Whose,
    ];
    /// What goes first where there is no room.
    const DROPPED: [Self; 6] =
        [Self::Whose, Self::Worst, Self::Best, Self::Recent, Self::Jitter, Self::Avg];

    const fn title(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Interface => "interface",
            Self::Marks => "marks",
            Self::Loss => " loss",
            Self::Silent => "silent",
            Self::Last => "  last",
            Self::Avg => "   avg",
            Self::Best => "  best",
            Self::Worst => " worst",
            Self::Jitter => "jitter",
            Self::Recent => "recent",
            Self::Whose => "AS",
        }
    }

    const fn least_width(self, longest: u16) -> u16 {
        match self {
            Self::Hop => 3,
            Self::Interface => longest,
            Self::Marks | Self::Loss => 5,
            Self::Whose => 12,
            _ => 6,
        }
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen<'_>) {
    let detail = if screen.state.detail { DETAIL_LINES } else { 0 };
    let [head, body, details, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(3),
        Constraint::Length(detail),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(heading(screen)), head);
    table(frame, screen, body);
    if screen.state.detail {
        frame.render_widget(details_of(screen), details);
    }
    frame.render_widget(Paragraph::new(footing(screen.state)), foot);
    if screen.state.help {
        help(frame);
    }
}

fn heading<'a>(screen: &Screen<'a>) -> Vec<TextLine<'a>> {
    let rounds = screen.rounds;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let state = match (screen.state.paused, screen.state.looking) {
        (true, _) => "  paused",
        (false, true) => "  looking for all ways",
        (false, false) => "",
    };
    let asked = if screen.target == rounds.target.to_string() {
        screen.target.to_owned()
    } else {
        format!("{} ({})", screen.target, rounds.target)
    };
    let first = TextLine::from(vec![
        Span::styled(asked, bold),
        Span::raw(format!(
            "  {}  round {}, {} probes{state}",
            screen.how, rounds.rounds, rounds.probes
        )),
    ]);
    let times = &rounds.times;
    let loss = rounds.target_loss();
    let second = TextLine::from(vec![
        Span::raw("target: "),
        Span::styled(format!("{} lost", percent(loss)), of_loss(loss)),
        Span::raw(format!(
            "  last {}  avg {}  best {}  worst {}  jitter {} ms  {}",
            ms(times.count.checked_sub(1).map(|_| times.last_ms)),
            ms(times.avg_ms()),
            ms(times.count.checked_sub(1).map(|_| times.best_ms)),
            ms(times.count.checked_sub(1).map(|_| times.worst_ms)),
            ms(times.jitter_ms()),
            spark(times, WIDEST_SPARK)
        )),
    ]);
    let mtu = screen.state.mtu.as_ref().map(|mtu| format!("; {mtu}")).unwrap_or_default();
    let third = match rounds.whole.as_ref() {
        None => "nothing is known yet".to_owned(),
        Some(whole) => match whole.failure_bound {
            Some(bound) => format!(
                "ways: up to {} side by side; one was missed with a probability of at most {bound:.3}",
                whole.width()
            ),
            None => {
                format!(
                    "ways: up to {} side by side; what may be missing is not known",
                    whole.width()
                )
            }
        },
    };
    vec![first, second, TextLine::from(third + &mtu)]
}

fn footing(state: &State) -> TextLine<'_> {
    if !state.note.is_empty() {
        return TextLine::from(state.note.as_str());
    }
    let keys = "q quit  p pause  r restart  ↑↓ choose  enter details  d DOT  j JSON  ? help";
    TextLine::styled(keys, Style::new().add_modifier(Modifier::DIM))
}

fn table(frame: &mut Frame<'_>, screen: &Screen<'_>, area: Rect) {
    let lines = lines(screen.rounds);
    let named: Vec<Option<String>> = lines
        .iter()
        .map(|line| line.interface.and_then(|interface| (screen.whose)(interface.address)))
        .collect();
    let longest = lines.iter().map(|line| address_of(line).chars().count()).max().unwrap_or(0);
    let longest = u16::try_from(longest).unwrap_or(u16::MAX).clamp(15, 41);
    let mut columns = Column::ALL.to_vec();
    if named.iter().all(Option::is_none) {
        columns.retain(|column| *column != Column::Whose);
    }
    let needed = |columns: &[Column]| -> u16 {
        columns.iter().map(|column| column.least_width(longest) + 1).sum::<u16>()
    };
    for dropped in Column::DROPPED {
        if needed(&columns) > area.width {
            columns.retain(|column| *column != dropped);
        }
    }
    let free = area.width.saturating_sub(needed(&columns));
    let widths = columns.iter().map(|column| match column {
        Column::Recent => {
            let most = if columns.contains(&Column::Whose) { free / 2 } else { free };
            Constraint::Length((6 + most).min(WIDEST_SPARK as u16))
        }
        Column::Whose => Constraint::Fill(1),
        column => Constraint::Length(column.least_width(longest)),
    });
    let widths: Vec<Constraint> = widths.collect();
    let spark_width = widths
        .iter()
        .zip(&columns)
        .find_map(|(width, column)| match (column, width) {
            (Column::Recent, Constraint::Length(length)) => Some(usize::from(*length)),
            _ => None,
        })
        .unwrap_or(0);
    let rows = lines.iter().zip(&named).map(|(line, whose)| {
        let cells = columns.iter().map(|column| cell(*column, line, whose.as_deref(), spark_width));
        Row::new(cells.collect::<Vec<_>>())
    });
    let header = Row::new(columns.iter().map(|column| Cell::from(column.title())));
    let table = Table::new(rows.collect::<Vec<_>>(), widths)
        .header(header.style(Style::new().add_modifier(Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let selected = screen.state.selected.min(lines.len().saturating_sub(1));
    let mut at = TableState::default().with_selected((!lines.is_empty()).then_some(selected));
    frame.render_stateful_widget(table, area, &mut at);
}

fn cell(column: Column, line: &Line<'_>, whose: Option<&str>, spark_width: usize) -> Cell<'static> {
    let times = line.interface.map(|interface| &interface.times);
    let measured = |of: fn(&Times) -> f64| times.filter(|times| times.count > 0).map(of);
    let time = |value: Option<f64>| Cell::from(format!("{:>6}", ms(value)));
    match column {
        Column::Hop if line.first => Cell::from(format!("{:>3}", line.hop.ttl)),
        Column::Interface => Cell::from(address_of(line)),
        Column::Marks => Cell::from(marks(line)),
        Column::Loss if line.first => {
            let loss = line.hop.forwarding_loss();
            Cell::from(format!("{:>5}", percent(loss))).style(of_loss(loss))
        }
        Column::Silent if line.first => Cell::from(format!("{:>6}", percent(line.hop.silence())))
            .style(Style::new().add_modifier(Modifier::DIM)),
        Column::Hop | Column::Loss | Column::Silent => Cell::from(""),
        Column::Last => time(measured(|times| times.last_ms)),
        Column::Avg => time(times.and_then(Times::avg_ms)),
        Column::Best => time(measured(|times| times.best_ms)),
        Column::Worst => time(measured(|times| times.worst_ms)),
        Column::Jitter => time(times.and_then(Times::jitter_ms)),
        Column::Recent => Cell::from(times.map(|t| spark(t, spark_width)).unwrap_or_default()),
        Column::Whose => Cell::from(whose.unwrap_or_default().to_owned()),
    }
}

fn address_of(line: &Line<'_>) -> String {
    let Some(interface) = line.interface else { return "*".to_owned() };
    let beside = if line.first { "" } else { "| " };
    format!("{beside}{}", interface.address)
}

/// A letter for each: the help and the details say them in words.
fn marks(line: &Line<'_>) -> String {
    let mut marks = String::new();
    let is = |of: fn(&InterfaceRounds) -> bool| line.interface.is_some_and(of);
    let of_hop = |of: fn(&HopRounds) -> bool| line.first && of(line.hop);
    for (mark, is) in [
        ('M', is(|interface| !interface.labels.is_empty())),
        ('N', is(|interface| interface.rewritten)),
        ('P', of_hop(|hop| hop.per_packet)),
        ('L', of_hop(|hop| hop.rate_limited)),
        ('X', of_hop(|hop| hop.meshed)),
        ('!', is(|interface| matches!(interface.kind, ReplyKind::Unreachable(_)))),
    ] {
        if is {
            marks.push(mark);
        }
    }
    marks
}

fn details_of<'a>(screen: &Screen<'a>) -> Paragraph<'a> {
    let lines = lines(screen.rounds);
    let chosen = lines.get(screen.state.selected.min(lines.len().saturating_sub(1)));
    let text = chosen.map_or_else(Vec::new, |line| detail(screen, line));
    let text: Vec<TextLine<'_>> = text.into_iter().map(TextLine::from).collect();
    Paragraph::new(text)
        .wrap(Wrap { trim: true })
        .block(Block::new().borders(Borders::TOP).title("details"))
}

fn detail(screen: &Screen<'_>, line: &Line<'_>) -> Vec<String> {
    let hop = line.hop;
    let mut said = vec![format!(
        "hop {}: {} probes, {} lost on the way ({}), {} not answered by the hop itself ({})",
        hop.ttl,
        hop.sent,
        hop.forwarding,
        percent(hop.forwarding_loss()),
        hop.terminal,
        percent(hop.silence())
    )];
    for (is, what) in [
        (hop.per_packet, "it balances packet by packet: packets of one flow take several ways"),
        (hop.rate_limited, "it limits its replies: silence says little here"),
        (hop.meshed, "its links to the next hop are meshed or uneven"),
        (hop.too_wide > 0, "it has more interfaces than are shown"),
    ] {
        if is {
            said.push(what.to_owned());
        }
    }
    let whole = screen.rounds.whole.iter().flat_map(|whole| &whole.hops);
    for alias in whole.filter(|of| of.ttl == hop.ttl).flat_map(|of| &of.aliases) {
        said.push(alias_text(alias));
    }
    let Some(interface) = line.interface else {
        said.push("nothing answers from here".to_owned());
        return said;
    };
    let whose = (screen.whose)(interface.address);
    let answers = match interface.kind {
        ReplyKind::Exceeded => "forwards".to_owned(),
        ReplyKind::Reached => "is the target".to_owned(),
        ReplyKind::Unreachable(code) => {
            format!("says that it goes no further: {}", unreachable_text(interface.address, code))
        }
    };
    said.push(format!(
        "{}{}: {answers}; answered in {} of {} rounds, {} round trips",
        interface.address,
        whose.map(|whose| format!(", {whose}")).unwrap_or_default(),
        interface.seen,
        screen.rounds.rounds,
        interface.times.count
    ));
    if !interface.labels.is_empty() {
        let label = |label: &holm_path::wire::Label| {
            format!("{} (class {}, TTL {})", label.label, label.class, label.ttl)
        };
        let labels: Vec<String> = interface.labels.iter().map(label).collect();
        said.push(format!("MPLS labels, outermost first: {}", labels.join(", ")));
    }
    if let Some(of) = &interface.interface {
        let mut parts = Vec::new();
        parts.extend(of.name.clone());
        parts.extend(of.index.map(|index| format!("index {index}")));
        parts.extend(of.address.map(|address| format!("address {address}")));
        parts.extend(of.mtu.map(|mtu| format!("MTU {mtu}")));
        said.push(format!("it says of its interface: {}", parts.join(", ")));
    }
    if interface.rewritten {
        said.push("probes were rewritten before they came here: a NAT is on the way".to_owned());
    }
    let next: Vec<String> = screen
        .rounds
        .whole
        .iter()
        .flat_map(|whole| &whole.links)
        .filter(|link| link.ttl == hop.ttl && link.from == interface.address)
        .map(|link| link.to.to_string())
        .collect();
    if !next.is_empty() {
        said.push(format!("leads to {}", next.join(", ")));
    }
    said
}

fn help(frame: &mut Frame<'_>) {
    let text = "\
 q, Esc, Ctrl-C   quit; the last picture is printed
 p, space         pause, go on
 r                begin again
 arrows, PgUp/Dn  choose a line; Enter shows its details
 d, j             write the ways as DOT, as JSON to a file here
 loss             lost on the way there or back
 silent           the hop did not answer, and forwards
 recent           round trips of the latest rounds; × was lost
 marks            M MPLS labels   N rewritten (NAT)
                  P balances packets   L limits its replies
                  X meshed or uneven   ! goes no further";
    let area = frame.area();
    let (width, height) = (62.min(area.width), 13.min(area.height));
    let at = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, at);
    let block = Block::new().borders(Borders::ALL).title("keys and words");
    frame.render_widget(Paragraph::new(text).block(block), at);
}

fn of_loss(share: Option<f64>) -> Style {
    match share {
        Some(share) if share >= 0.05 => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Some(share) if share > 0.0 => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
