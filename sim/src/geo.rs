//! Where the sites stand, and how long light and routers need between them.
//!
//! The model is that of the anchor that the numbers are compared with (Corrosion's `plum-foca`
//! simulator): sites stand in 19 regions of a real fleet, weighted by that fleet's machines; the round
//! trip between two regions is 4 ms + great-circle kilometres / 75, whole milliseconds, and 1 ms within
//! a region; a message flies half of that, times a jitter that is even between 1.0 and 1.15.

use rand::RngExt;
use rand::rngs::StdRng;

/// Latitude, longitude in degrees, and how many of the fleet's machines stand there.
type Region = (f64, f64, u32);

/// Amsterdam, Stockholm, Mumbai, Paris, Dallas, Newark, Frankfurt, São Paulo, Ashburn, Johannesburg,
/// Los Angeles, London, Tokyo, Chicago, Querétaro, Singapore, San José, Sydney, Toronto.
const REGIONS: [Region; 19] = [
    (52.31, 4.76, 274),
    (59.65, 17.92, 20),
    (19.09, 72.87, 33),
    (49.01, 2.55, 175),
    (32.90, -97.04, 528),
    (40.69, -74.17, 245),
    (50.03, 8.57, 347),
    (-23.43, -46.47, 111),
    (38.94, -77.46, 442),
    (-26.14, 28.25, 16),
    (33.94, -118.41, 306),
    (51.47, -0.45, 74),
    (35.77, 140.39, 76),
    (41.97, -87.91, 559),
    (19.43, -99.13, 42),
    (1.36, 103.99, 209),
    (37.36, -121.93, 682),
    (-33.95, 151.18, 200),
    (43.68, -79.63, 114),
];

/// What airports call the regions.
const NAMES: [&str; REGIONS.len()] = [
    "AMS", "ARN", "BOM", "CDG", "DFW", "EWR", "FRA", "GRU", "IAD", "JNB", "LAX", "LHR", "NRT",
    "ORD", "QRO", "SIN", "SJC", "SYD", "YYZ",
];

const EARTH_RADIUS_KM: f64 = 6_371.0;
/// Kilometres of great circle that a round trip covers in a millisecond.
const KM_PER_RTT_MS: f64 = 75.0;
/// What routers add to a round trip between regions.
const FLOOR_MS: f64 = 4.0;
const WITHIN_US: u64 = 1_000;

/// The round trips between all regions, and who stands where.
#[derive(Debug)]
pub struct Globe {
    rtt_us: Vec<[u64; REGIONS.len()]>,
    region_of: Vec<usize>,
}

impl Globe {
    /// A globe without sites.
    pub fn new() -> Self {
        let row = |a: &Region| REGIONS.map(|b| rtt_us(a, &b));
        Self { rtt_us: REGIONS.iter().map(row).collect(), region_of: Vec::new() }
    }

    /// Places one more site, by the weights.
    pub fn place(&mut self, rng: &mut StdRng) {
        let total: u32 = REGIONS.iter().map(|(_, _, weight)| weight).sum();
        let mut pick = rng.random_range(0..total);
        let mut chosen = 0;
        for (index, (_, _, weight)) in REGIONS.iter().enumerate() {
            if pick < *weight {
                chosen = index;
                break;
            }
            pick -= weight;
        }
        self.region_of.push(chosen);
    }

    /// The region in which a site stands, by its airport.
    pub fn region(&self, site: usize) -> &'static str {
        NAMES[self.region_of[site]]
    }

    /// Whether two sites stand in one region.
    pub fn same_region(&self, a: usize, b: usize) -> bool {
        self.region_of[a] == self.region_of[b]
    }

    /// The round trip between two sites without jitter, in microseconds.
    pub fn rtt_us(&self, a: usize, b: usize) -> u64 {
        self.rtt_us[self.region_of[a]][self.region_of[b]]
    }

    /// One flight between two sites, in microseconds.
    pub fn flight_us(&self, a: usize, b: usize, rng: &mut StdRng) -> u64 {
        let half = self.rtt_us(a, b) / 2;
        // Parts in ten thousand: no floating point where the trace depends on it.
        half * rng.random_range(10_000..11_500) / 10_000
    }
}

impl Default for Globe {
    fn default() -> Self {
        Self::new()
    }
}

fn rtt_us(a: &Region, b: &Region) -> u64 {
    if a == b {
        return WITHIN_US;
    }
    let (lat_a, lat_b) = (a.0.to_radians(), b.0.to_radians());
    let (d_lat, d_lon) = (lat_b - lat_a, (b.1 - a.1).to_radians());
    let haversine =
        (d_lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (d_lon / 2.0).sin().powi(2);
    let km = 2.0 * EARTH_RADIUS_KM * haversine.sqrt().asin();
    // At most 271 ms: half the earth's circumference.
    (FLOOR_MS + km / KM_PER_RTT_MS) as u64 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_globe() {
        // Amsterdam to Ashburn is about 6,200 km, Sydney to London about 17,000.
        assert_eq!(rtt_us(&REGIONS[0], &REGIONS[8]) / 1_000, 86);
        assert_eq!(rtt_us(&REGIONS[17], &REGIONS[11]) / 1_000, 230);
        assert_eq!(rtt_us(&REGIONS[3], &REGIONS[3]), WITHIN_US);
    }
}
