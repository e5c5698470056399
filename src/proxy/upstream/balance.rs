//! Which of a site's servers gets a request: the one with the fewest under way, by turns where that
//! is the same. Turns alone would be the same number of requests for each and not the same load: pages,
//! downloads and tunnels last differently long, and a server that has become slow would get as many as
//! before. Where all are idle it is turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{Upstream, health::Turn};

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Balance {
    next: AtomicUsize,
}

impl Balance {
    /// Chooses among `all`, of which there is at least one; not `but`, if there is another.
    ///
    /// 1. One whose time out is over: one request tries it.
    /// 2. Of those that are in, the one with the fewest requests under way.
    /// 3. All are out: the one that was not asked for longest.
    pub(super) fn pick<'u>(&self, all: &'u [Arc<Upstream>], but: Option<&Arc<Upstream>>) -> Option<&'u Arc<Upstream>> {
        if let [one] = all {
            return Some(one).filter(|_| but.is_none());
        }
        let now = Instant::now();
        // A second choice does not take the next one's turn.
        let turn = if but.is_none() { self.next.fetch_add(1, Ordering::Relaxed) } else { self.next.load(Ordering::Relaxed) };
        let start = turn % all.len();
        let (before, after) = all.split_at(start);
        let (mut fewest, mut longest) = (None, None);
        for upstream in after.iter().chain(before).filter(|one| but.is_none_or(|but| !Arc::ptr_eq(one, but))) {
            match upstream.health.turn(now) {
                Turn::Trial => return Some(upstream),
                Turn::In => {
                    let busy = upstream.busy.load(Ordering::Relaxed);
                    if fewest.is_none_or(|(least, _)| busy < least) {
                        fewest = Some((busy, upstream));
                    }
                }
                Turn::Out(last) => {
                    if longest.is_none_or(|(first, _)| last < first) {
                        longest = Some((last, upstream));
                    }
                }
            }
        }
        fewest.map(|(_, upstream)| upstream).or_else(|| {
            let (_, upstream) = longest?;
            upstream.health.ask_all_the_same(now);
            Some(upstream)
        })
    }
}
