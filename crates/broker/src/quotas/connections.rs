//! How fast connections may come: per address (a quota), per listener and for all of them (`max.connection.creation.rate`).

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};

use metadata::QuotaEntity;
use tracing::warn;

use super::rate::{Rate, Window};
use crate::dispatch::Audience;

/// Addresses that are measured at the same time.
const MAX_ADDRESSES: usize = 100_000;

/// What connections are measured together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Node(Audience),
    Listener(String),
    Address(IpAddr),
}

/// Limits and measures of new connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRates {
    default: Option<f64>,
    by_address: HashMap<IpAddr, f64>,
    rates: HashMap<Scope, (Rate, i64)>,
}

/// A listener and the limits that its configuration sets.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// Its name.
    pub listener: &'a str,
    /// What it is for: brokers and controllers count for themselves.
    pub audience: Audience,
    /// `max.connection.creation.rate` of the node.
    pub node_limit: Option<f64>,
    /// `max.connection.creation.rate` of the listener.
    pub listener_limit: Option<f64>,
}

impl ConnectionRates {
    /// Takes over the quotas of `ip` entities.
    pub(crate) fn set<'a>(&mut self, quotas: impl Iterator<Item = (&'a QuotaEntity, f64)>) {
        (self.default, self.by_address) = (None, HashMap::new());
        for (entity, limit) in quotas {
            match entity.get("ip") {
                Some(Some(host)) => match resolve(host) {
                    Some(address) => drop(self.by_address.insert(address, limit)),
                    None => warn!(host, "could not resolve the address of a quota"),
                },
                Some(None) => self.default = Some(limit),
                None => {}
            }
        }
    }

    pub(crate) fn has_address_limits(&self) -> bool {
        self.default.is_some() || !self.by_address.is_empty()
    }

    /// Counts a connection; how long the listener must wait before it accepts it.
    pub(crate) fn wait_ms(&mut self, gate: Gate<'_>, window: Window, now_ms: i64) -> Option<i64> {
        let mut wait = None;
        for (scope, limit) in scopes(gate) {
            let rate = self.rate(scope, now_ms);
            rate.record(window, 1.0, now_ms);
            wait = wait.max(rate.over(window, limit, now_ms));
        }
        wait.map(|wait| wait.min(window.sample_ms))
    }

    /// Counts a connection of an address; how long it is kept waiting before it is closed, if it comes too early.
    pub(crate) fn refuse_ms(&mut self, gate: Gate<'_>, peer: IpAddr, window: Window, now_ms: i64) -> Option<i64> {
        let limit = self.by_address.get(&peer).copied().or(self.default)?;
        let rate = self.rate(Scope::Address(peer), now_ms);
        rate.record(window, 1.0, now_ms);
        let over = rate.over(window, limit, now_ms)?;
        rate.record(window, -1.0, now_ms);
        for (scope, _) in scopes(gate) {
            self.rate(scope, now_ms).record(window, -1.0, now_ms);
        }
        Some(over.min(window.sample_ms))
    }

    fn rate(&mut self, scope: Scope, now_ms: i64) -> &mut Rate {
        if self.rates.len() >= MAX_ADDRESSES && !self.rates.contains_key(&scope) {
            self.rates.retain(|_, (_, used_ms)| now_ms - *used_ms < super::EXPIRY_MS);
            if self.rates.len() >= MAX_ADDRESSES {
                self.rates.clear();
            }
        }
        let (rate, used_ms) = self.rates.entry(scope).or_default();
        *used_ms = now_ms;
        rate
    }
}

fn scopes(gate: Gate<'_>) -> impl Iterator<Item = (Scope, f64)> {
    let node = gate.node_limit.map(|limit| (Scope::Node(gate.audience), limit));
    let listener = gate.listener_limit.map(|limit| (Scope::Listener(gate.listener.to_owned()), limit));
    node.into_iter().chain(listener)
}

fn resolve(host: &str) -> Option<IpAddr> {
    host.parse().ok().or_else(|| Some((host, 0).to_socket_addrs().ok()?.next()?.ip()))
}

/// Whether `host` is an address or the name of one. May ask the network.
pub(crate) fn is_host(host: &str) -> bool {
    resolve(host).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { samples: 2, sample_ms: 1000 };
    const OPEN: Gate<'_> =
        Gate { listener: "PLAINTEXT", audience: Audience::Clients, node_limit: None, listener_limit: None };

    #[test]
    fn an_address_that_connects_too_fast_is_refused_and_not_counted() {
        let mut rates = ConnectionRates::default();
        let entity = |name: Option<&str>| QuotaEntity::from([("ip".to_owned(), name.map(str::to_owned))]);
        let (default, one) = (entity(None), entity(Some("10.0.0.1")));
        rates.set([(&default, 1.0), (&one, 3.0)].into_iter());
        let (slow, fast) = (IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 1]));
        assert_eq!(rates.refuse_ms(OPEN, slow, WINDOW, 0), None);
        assert_eq!(rates.refuse_ms(OPEN, slow, WINDOW, 0), Some(1000));
        assert_eq!([0; 4].map(|_| rates.refuse_ms(OPEN, fast, WINDOW, 0).is_some()), [false, false, false, true]);
        assert_eq!(rates.refuse_ms(OPEN, slow, WINDOW, 2000), None);
    }

    #[test]
    fn the_listener_waits_when_all_connections_together_come_too_fast() {
        let mut rates = ConnectionRates::default();
        let gate = Gate { node_limit: Some(2.0), listener_limit: Some(1.0), ..OPEN };
        assert_eq!(rates.wait_ms(gate, WINDOW, 0), None);
        assert_eq!(rates.wait_ms(gate, WINDOW, 0), Some(1000));
        assert_eq!(rates.wait_ms(OPEN, WINDOW, 0), None);
    }
}
