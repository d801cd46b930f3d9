//! How an objective stands: attainment, budget, burn, forecast.
//!
//! The burn rate is the share that was bad over the share that may be: at 1 a budget lasts exactly its
//! window. A pair of windows burns when both are over its limit: the long one says that it matters, the
//! short one that it goes on. Pairs and limits are those of Google's *Site Reliability Workbook*, chapter 5,
//! "Multiwindow, Multi-Burn-Rate Alerts", for a window of thirty days.

use holm_model::Millis;

use crate::count::Count;
use crate::definition::Definition;
use crate::ledger::{Ledger, Writer, minute_of};
use crate::window::MINUTE_MS;

/// Fewer events in the window than these say nothing yet: nothing burns.
pub const COLD_BELOW: u64 = 50;
/// The forecast looks at what was bad in this time, in minutes.
pub const FORECAST_MIN: u32 = 6 * 60;

/// A pair of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// One hour and five minutes, 14.4 times: two percent of thirty days in an hour.
    Fast,
    /// Six hours and thirty minutes, 6 times: five percent in six hours.
    Medium,
    /// Three days and six hours, once: ten percent in three days.
    Slow,
}

impl Tier {
    /// All of them, the quickest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Medium, Self::Slow];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
        }
    }

    /// The tier of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }

    /// Its long and its short window, in minutes.
    pub const fn windows_min(self) -> (u32, u32) {
        match self {
            Self::Fast => (60, 5),
            Self::Medium => (6 * 60, 30),
            Self::Slow => (3 * 24 * 60, 6 * 60),
        }
    }

    /// The burn rate from which on both count.
    pub const fn limit(self) -> f64 {
        match self {
            Self::Fast => 14.4,
            Self::Medium => 6.0,
            Self::Slow => 1.0,
        }
    }

    /// Whether somebody is to be woken; else it can wait for the day.
    pub const fn pages(self) -> bool {
        !matches!(self, Self::Slow)
    }
}

/// How a pair of windows burns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// Which pair.
    pub tier: Tier,
    /// The burn rate of the long window; `None` if nothing was counted in it.
    pub long: Option<f64>,
    /// That of the short window.
    pub short: Option<f64>,
    /// Whether both are at the limit or above, and there were events enough.
    pub burns: bool,
    /// Whether the long one is: what burnt is not over before it is not.
    pub lasts: bool,
}

/// How a count stands against a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attained {
    /// What was counted.
    pub count: Count,
    /// The share that was good, from 0 to 1; `None` if nothing was counted.
    pub share: Option<f64>,
    /// The share of the budget that is left: 1 at first, below 0 when more was bad than may be.
    pub budget_left: f64,
}

impl Attained {
    fn of(count: Count, target: f64) -> Self {
        if count.is_empty() {
            return Self { count, share: None, budget_left: 1.0 };
        }
        let bad = count.bad as f64 / count.total as f64;
        let left = 1.0 - bad / (1.0 - target);
        // Used up to its end is not more than may be.
        let budget_left = if left.abs() < ROOM { 0.0 } else { left };
        Self { count, share: Some(1.0 - bad), budget_left }
    }
}

/// How an objective stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// From when on its window counts, and until when it goes; a rolling one goes until now.
    pub window: (Millis, Millis),
    /// Over all sites.
    pub attained: Attained,
    /// How many events that were: what has parts counts once.
    pub events: u64,
    /// There were fewer events than say anything, in the window and in the longest one that burns: nothing begins to
    /// burn.
    pub cold_start: bool,
    /// The pairs of windows, over all sites.
    pub burns: [Burn; 3],
    /// When the budget is used up if it goes on as in the last six hours; `None` if it is not within the
    /// length of the window, or is used up already.
    pub exhausts_at: Option<Millis>,
    /// How each site stands by itself.
    pub sites: Vec<SiteStanding>,
}

/// How a writer stands by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteStanding {
    /// Who counted.
    pub writer: Writer,
    /// In the objective's window.
    pub attained: Attained,
    /// What was bad there in the long window of each pair, the quickest first.
    pub bad_lately: [u64; 3],
}

/// A point of a budget's way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetPoint {
    /// The end of the time that it is about.
    pub at: Millis,
    /// What was counted since the point before.
    pub count: Count,
    /// The share of the budget that was left then.
    pub budget_left: f64,
}

impl Definition {
    /// How an objective stands at `now`, by what is known of minutes that are over; `None` if there is no
    /// such objective.
    pub fn judge(&self, ledger: &Ledger, objective: usize, now: Millis) -> Option<Standing> {
        let target = self.objectives.get(objective)?.target;
        let measure = self.measure(objective)?;
        let window = self.window_at(now);
        let to = minute_of(now);
        let from = minute_of(window.0);
        let (mut all, mut recent) = (Count::default(), Count::default());
        let mut first = to;
        let mut pairs = [(Count::default(), Count::default()); 3];
        let mut sites = Vec::new();
        for (writer, series) in ledger.writers(measure.id) {
            let whole = series.sum(from, to);
            all += whole;
            first = series.first().map_or(first, |minute| minute.min(first));
            let mut bad_lately = [0; 3];
            for (number, tier) in Tier::ALL.into_iter().enumerate() {
                let (long, short) = tier.windows_min();
                let long = series.sum(to.saturating_sub(long), to);
                let short = series.sum(to.saturating_sub(short), to);
                bad_lately[number] = long.bad;
                pairs[number].0 += long;
                pairs[number].1 += short;
            }
            recent += series.sum(to.saturating_sub(FORECAST_MIN), to);
            if !whole.is_empty() || bad_lately != [0; 3] {
                let attained = Attained::of(whole, target);
                sites.push(SiteStanding { writer: writer.clone(), attained, bad_lately });
            }
        }
        let events = all.total / measure.unit;
        // A calendar that begins anew does not forget what its windows look back at.
        let looked_at = all.total.max(pairs[Tier::Slow as usize].0.total);
        let cold_start = looked_at / measure.unit < COLD_BELOW;
        let burns = std::array::from_fn(|number| {
            let (tier, (long, short)) = (Tier::ALL[number], pairs[number]);
            burn(tier, (rate(long, target), rate(short, target)), cold_start)
        });
        let attained = Attained::of(all, target);
        let length_ms = window.1.since(window.0);
        let course = Course {
            counted_ms: u64::from(to.saturating_sub(first.max(from))) * MINUTE_MS,
            length_ms,
            ends: (window.1 > now).then_some(window.1),
        };
        let exhausts_at = course.exhausts(attained.budget_left, rate(recent, target), now);
        Some(Standing { window, attained, events, cold_start, burns, exhausts_at, sites })
    }

    /// The way of an objective's budget over its window up to `now`, in at most `points` steps of full hours.
    pub fn burn_down(
        &self,
        ledger: &Ledger,
        objective: usize,
        now: Millis,
        points: u32,
    ) -> Vec<BudgetPoint> {
        let (Some(of), Some(measure)) = (self.objectives.get(objective), self.measure(objective))
        else {
            return Vec::new();
        };
        let (from, _) = self.window_at(now);
        let (from, to) = (minute_of(from), minute_of(now));
        let hours = to.saturating_sub(from).div_ceil(60).max(1);
        let step = hours.div_ceil(points.max(1)) * 60;
        let mut sum = Count::default();
        let mut way = Vec::new();
        // A cell that lies in two steps would be in neither.
        let mut begun = from.next_multiple_of(measure.grain_min);
        while begun < to {
            let end = (begun + step).min(to);
            let mut count = Count::default();
            for (_, series) in ledger.writers(measure.id) {
                count += series.sum(begun, end);
            }
            sum += count;
            let budget_left = Attained::of(sum, of.target).budget_left;
            way.push(BudgetPoint { at: Millis(u64::from(end) * MINUTE_MS), count, budget_left });
            begun = end;
        }
        way
    }
}

/// The burn rate of what was counted.
fn rate(count: Count, target: f64) -> Option<f64> {
    (!count.is_empty()).then(|| count.bad as f64 / count.total as f64 / (1.0 - target))
}

/// Rates are compared with a little room: 14.4 times a share that no binary number is exactly.
const ROOM: f64 = 1e-9;

fn burn(tier: Tier, (long, short): (Option<f64>, Option<f64>), cold: bool) -> Burn {
    let over = |rate: Option<f64>| rate.is_some_and(|rate| rate >= tier.limit() - ROOM);
    // What burnt lasts, however few events the window has after it began anew.
    let lasts = over(long);
    Burn { tier, long, short, burns: !cold && lasts && over(short), lasts }
}

/// How far a window has come.
struct Course {
    /// Something has been counted for so long within it.
    counted_ms: u64,
    length_ms: u64,
    /// The end of a calendar's; a rolling one has none.
    ends: Option<Millis>,
}

impl Course {
    /// When the budget is used up if as much is counted, and as much of it bad, as in the last six hours; `None` if it
    /// is not within this window, or within its length of a rolling one.
    ///
    /// While a window fills, what is bad is a share of what there is: of a budget of which `left` is left after `e`, at
    /// a burn rate `r`, nothing is left after `left * e / (r - 1)`. Of a full one `left / r` of its length passes; what
    /// was bad before stays in it.
    fn exhausts(&self, left: f64, rate: Option<f64>, now: Millis) -> Option<Millis> {
        let rate = rate.filter(|rate| *rate > 0.0)?;
        if left <= 0.0 {
            return None;
        }
        let (counted, length) = (self.counted_ms as f64, self.length_ms as f64);
        let fills = match self.ends {
            Some(ends) => ends.since(now) as f64,
            None => (length - counted).max(0.0),
        };
        let filling = if rate > 1.0 { left * counted / (rate - 1.0) } else { f64::INFINITY };
        let after = if filling <= fills {
            filling
        } else if self.ends.is_none() {
            let used = ((1.0 - left) * counted + rate * fills) / (counted + fills).max(1.0);
            fills + (1.0 - used) * length / rate
        } else {
            return None;
        };
        let after_ms = (after / MINUTE_MS as f64).round() as u64 * MINUTE_MS;
        let at = Millis(now.0.saturating_add(after_ms));
        (at < self.ends.unwrap_or(now + self.length_ms)).then_some(at)
    }
}
