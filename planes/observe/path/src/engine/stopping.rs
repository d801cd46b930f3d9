//! When to stop looking for more: the stopping points of the multipath detection algorithm.

/// Widths up to which the points are exact. Above, the union bound is taken, which is never less.
const EXACT: usize = 64;

/// The numbers of probes after which a vertex with `k` known successors is held to have no more
/// (Augustin, Friedman, Teixeira: Measuring load-balanced paths in the internet, 2007, §3).
#[derive(Debug, Clone)]
pub struct Stopping {
    epsilon: f64,
    points: Vec<u32>,
}

impl Stopping {
    /// The points where one more of equally likely successors is missed with a probability of at
    /// most `epsilon`, which is held within 0.000001 and 0.5.
    pub fn new(epsilon: f64) -> Self {
        let epsilon = if epsilon.is_finite() { epsilon.clamp(1e-6, 0.5) } else { 0.05 };
        let mut points = vec![1];
        points.extend((1..=EXACT).map(|known| exact_point(known + 1, epsilon)));
        Self { epsilon, points }
    }

    /// The probability that is stopped at.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// How many flows make it unlikely enough that there are more than `known` successors.
    pub fn point(&self, known: usize) -> u32 {
        if let Some(point) = self.points.get(known) {
            return *point;
        }
        let k = known as f64;
        let n = (self.epsilon / (k + 1.0)).ln() / (k / (k + 1.0)).ln();
        n.ceil() as u32
    }
}

/// The fewest throws after which one of `bins` is empty with a probability of at most `epsilon`.
fn exact_point(bins: usize, epsilon: f64) -> u32 {
    let mut occupied = start(bins);
    let mut throws = 0;
    while 1.0 - occupied[bins] > epsilon {
        throw(&mut occupied);
        throws += 1;
    }
    throws
}

/// The probability that `flows` flows leave at least one of `width` equally likely successors unseen.
pub fn miss(width: usize, flows: u32) -> f64 {
    if width <= 1 {
        return if flows == 0 { 1.0 } else { 0.0 };
    }
    if width > EXACT + 1 {
        let each = (1.0 - 1.0 / width as f64).powf(f64::from(flows));
        return (width as f64 * each).min(1.0);
    }
    let mut occupied = start(width);
    for _ in 0..flows.min(100_000) {
        throw(&mut occupied);
    }
    (1.0 - occupied[width]).clamp(0.0, 1.0)
}

/// By number of bins that are not empty, how likely it is: none before the first throw.
fn start(bins: usize) -> Vec<f64> {
    let mut occupied = vec![0.0; bins + 1];
    occupied[0] = 1.0;
    occupied
}

fn throw(occupied: &mut [f64]) {
    let bins = (occupied.len() - 1) as f64;
    for full in (1..occupied.len()).rev() {
        let stays = occupied[full] * full as f64 / bins;
        let fills = occupied[full - 1] * (bins - (full as f64 - 1.0)) / bins;
        occupied[full] = stays + fills;
    }
    occupied[0] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_are_those_that_other_tools_stop_at() {
        let stopping = Stopping::new(0.05);
        let points: Vec<u32> = (1..=16).map(|known| stopping.point(known)).collect();
        assert_eq!(
            points,
            [6, 11, 16, 21, 27, 33, 38, 44, 51, 57, 63, 70, 76, 83, 90, 96],
            "as scamper's tracelb sends them: 21 at width 4, 44 at 8, 96 at 16"
        );
        assert_eq!(Stopping::new(0.05).point(0), 1);
    }

    #[test]
    fn the_points_grow_also_where_they_are_no_longer_exact() {
        let stopping = Stopping::new(0.05);
        for known in 1..200 {
            assert!(stopping.point(known) < stopping.point(known + 1), "{known}");
        }
    }

    #[test]
    fn what_is_missed_is_what_the_point_promises() {
        for epsilon in [0.05, 0.01, 0.001] {
            let stopping = Stopping::new(epsilon);
            for known in 1..30 {
                let point = stopping.point(known);
                assert!(miss(known + 1, point) <= epsilon);
                assert!(miss(known + 1, point - 1) > epsilon);
            }
        }
        assert_eq!(miss(1, 0), 1.0);
        assert_eq!(miss(1, 1), 0.0);
        assert!(miss(200, 10) > 0.99);
    }

    #[test]
    fn hostile_settings_are_held_within_bounds() {
        for epsilon in [f64::NAN, -1.0, 0.0, 1.0, f64::INFINITY] {
            assert!((1..1_000).contains(&Stopping::new(epsilon).point(1)));
        }
    }
}
