//! The live picture of `holm trace` as a model: what keys do to it, and which lines it has.

use holm_path::rounds::{HopRounds, InterfaceRounds, Rounds};
use ratatui::termion::event::Key;

/// What a key asks for beyond the picture itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing.
    Stay,
    /// The end.
    Quit,
    /// From the first round on.
    Restart,
    /// The ways as DOT, to a file.
    WriteDot,
    /// The ways as JSON, to a file.
    WriteJson,
}

/// What is shown of the rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The line that is chosen, from 0.
    pub(super) selected: usize,
    /// Its details are shown.
    pub(super) detail: bool,
    /// The keys are explained.
    pub(super) help: bool,
    /// No round begins.
    pub(super) paused: bool,
    /// All ways are being looked for.
    pub(super) looking: bool,
    /// What is known of the path MTU, if it is looked for.
    pub(super) mtu: Option<String>,
    /// What was done or went wrong last.
    pub(super) note: String,
}

impl State {
    /// What `key` changes, where the picture has `lines` lines.
    pub(super) fn key(&mut self, key: Key, lines: usize) -> Act {
        let last = lines.saturating_sub(1);
        self.selected = self.selected.min(last);
        match key {
            Key::Char('q') | Key::Ctrl('c' | 'd') => return Act::Quit,
            Key::Esc if !self.help && !self.detail => return Act::Quit,
            Key::Esc => (self.help, self.detail) = (false, false),
            Key::Char('p' | ' ') => self.paused = !self.paused,
            Key::Char('r') => {
                *self = Self { detail: self.detail, mtu: self.mtu.take(), ..Self::default() };
                return Act::Restart;
            }
            Key::Char('d') => return Act::WriteDot,
            // vi's `j` would be taken for JSON: arrows move.
            Key::Char('j') => return Act::WriteJson,
            Key::Char('?' | 'h') => self.help = !self.help,
            Key::Char('\n') => self.detail = !self.detail,
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => self.selected = (self.selected + 1).min(last),
            Key::PageUp => self.selected = self.selected.saturating_sub(10),
            Key::PageDown => self.selected = (self.selected + 10).min(last),
            Key::Home => self.selected = 0,
            Key::End => self.selected = last,
            _ => {}
        }
        Act::Stay
    }
}

/// One line of the picture: a hop's first interface, or none that answered, or a further one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) hop: &'a HopRounds,
    pub(super) interface: Option<&'a InterfaceRounds>,
    /// Whether it is the hop's first.
    pub(super) first: bool,
}

/// The lines in their order.
pub(super) fn lines(rounds: &Rounds) -> Vec<Line<'_>> {
    let of_hop = |hop| -> Vec<Line<'_>> {
        let hop: &HopRounds = hop;
        if hop.interfaces.is_empty() {
            return vec![Line { hop, interface: None, first: true }];
        }
        let line = |(index, interface)| Line { hop, interface: Some(interface), first: index == 0 };
        hop.interfaces.iter().enumerate().map(line).collect()
    };
    rounds.hops.iter().flat_map(of_hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_within_the_lines_and_ask_for_what_they_say() {
        let mut state = State::default();
        for (key, act, selected) in [
            (Key::Up, Act::Stay, 0),
            (Key::Down, Act::Stay, 1),
            (Key::PageDown, Act::Stay, 2),
            (Key::Down, Act::Stay, 2),
            (Key::Home, Act::Stay, 0),
            (Key::End, Act::Stay, 2),
            (Key::Char('d'), Act::WriteDot, 2),
            (Key::Char('j'), Act::WriteJson, 2),
            (Key::Char('z'), Act::Stay, 2),
            (Key::Ctrl('c'), Act::Quit, 2),
            (Key::Char('r'), Act::Restart, 0),
        ] {
            assert_eq!((state.key(key, 3), state.selected), (act, selected), "{key:?}");
        }
        // Fewer lines than before, and none at all.
        state.selected = 9;
        state.key(Key::Char('?'), 2);
        assert_eq!((state.selected, state.help), (1, true));
        assert_eq!((state.key(Key::Down, 0), state.selected), (Act::Stay, 0));
    }

    #[test]
    fn escape_closes_what_is_open_and_then_ends() {
        let mut state = State::default();
        state.key(Key::Char('\n'), 1);
        state.key(Key::Char('p'), 1);
        assert!(state.detail && state.paused);
        assert_eq!((state.key(Key::Esc, 1), state.detail), (Act::Stay, false));
        assert_eq!(state.key(Key::Esc, 1), Act::Quit);
        assert!(state.paused);
    }
}
