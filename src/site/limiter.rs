//! How often a client network may come to the gate's own paths.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

/// A rate by network. Networks that have gone quiet are forgotten.
pub struct Limiter {
    /// `None` where there is no limit.
    rate: Option<DefaultKeyedRateLimiter<IpAddr>>,
}

/// The most networks that are remembered before quiet ones are forgotten at once.
const NETWORKS_MAX: usize = 100_000;

impl Limiter {
    /// At most `per_minute` in a minute, all of which may come at once; 0 = no limit.
    pub fn per_minute(per_minute: u64) -> Self {
        let most = u32::try_from(per_minute).ok().and_then(NonZeroU32::new);
        Self { rate: most.map(|most| RateLimiter::keyed(Quota::per_minute(most))) }
    }

    /// Counts one; on refusal, how long to wait.
    pub fn check(&self, network: IpAddr) -> Result<(), Duration> {
        let Some(rate) = &self.rate else { return Ok(()) };
        if rate.len() > NETWORKS_MAX {
            rate.retain_recent();
        }
        rate.check_key(&network).map_err(|until| until.wait_time_from(rate.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_does_not_use_up_another_ones_rate() {
        let limiter = Limiter::per_minute(2);
        let [a, b]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("a test address"));
        assert!(limiter.check(a).is_ok() && limiter.check(a).is_ok());
        let wait = limiter.check(a).expect_err("the third within a minute");
        assert!(wait <= Duration::from_secs(60));
        assert!(limiter.check(b).is_ok());
        assert!(Limiter::per_minute(0).check(a).is_ok());
    }
}
