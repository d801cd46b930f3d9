//! From how many places it looks bad: is it the target, the way, one vantage, or we ourselves?

use std::collections::BTreeSet;

use holm_model::SiteId;

/// Who looked, and how it looks from there. Each site is in one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vantages {
    /// From here it is bad.
    pub failed: BTreeSet<SiteId>,
    /// From here it is well.
    pub fine: BTreeSet<SiteId>,
    /// From here it is bad, and they reach nobody: what they say of others is of themselves.
    pub cut_off: BTreeSet<SiteId>,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Bad from everywhere: the target itself.
    TargetDown {
        /// From so many places, all that looked.
        of: usize,
    },
    /// Bad from several places and well from others: a way that some share.
    Path {
        /// From so many it is bad.
        failed: usize,
        /// Of so many.
        of: usize,
    },
    /// Bad from one place only, and well from others.
    OneVantage {
        /// That one.
        site: SiteId,
        /// Of so many.
        of: usize,
    },
    /// Only who reaches nobody says so.
    CutOff {
        /// Those.
        sites: BTreeSet<SiteId>,
    },
    /// Only one place has looked.
    Unconfirmed {
        /// That one.
        site: SiteId,
    },
    /// Nobody says it is bad.
    Nothing,
}

impl Verdict {
    /// Judges who says what.
    pub fn of(vantages: &Vantages) -> Self {
        let Vantages { failed, fine, cut_off } = vantages;
        let of = failed.len() + fine.len();
        match (failed.first(), failed.len()) {
            (None, _) if cut_off.is_empty() => Self::Nothing,
            (None, _) => Self::CutOff { sites: cut_off.clone() },
            (Some(site), 1) if of == 1 => Self::Unconfirmed { site: site.clone() },
            (Some(_), failed) if failed == of => Self::TargetDown { of },
            (Some(site), 1) => Self::OneVantage { site: site.clone(), of },
            (Some(_), failed) => Self::Path { failed, of },
        }
    }

    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TargetDown { .. } => "target_down",
            Self::Path { .. } => "path",
            Self::OneVantage { .. } => "one_vantage",
            Self::CutOff { .. } => "us",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Nothing => "nothing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_vantages_says_where_the_trouble_is() {
        let sites =
            |text: &str| text.chars().map(|c| c.to_string().parse().expect("valid")).collect();
        for (failed, fine, cut_off, verdict) in [
            ("", "", "", "nothing"),
            ("", "ab", "", "nothing"),
            ("a", "", "", "unconfirmed"),
            ("ab", "", "", "target_down"),
            ("abc", "", "", "target_down"),
            ("a", "bc", "", "one_vantage"),
            ("ab", "c", "", "path"),
            ("", "bc", "a", "us"),
            ("", "", "ab", "us"),
            // What a cut-off site says is not counted.
            ("b", "c", "a", "one_vantage"),
            ("bc", "", "a", "target_down"),
            ("b", "", "a", "unconfirmed"),
        ] {
            let (failed, fine, cut_off) = (sites(failed), sites(fine), sites(cut_off));
            let vantages = Vantages { failed, fine, cut_off };
            assert_eq!(Verdict::of(&vantages).as_str(), verdict, "{vantages:?}");
        }
    }
}
