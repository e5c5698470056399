//! Pages that come again: what the engine found in a body is remembered, so that the same body costs a hash, a copy
//! and a few splices.
//!
//! A validator is a claim, and offsets into another body would let tags through: nothing is used before a keyed hash of
//! the **whole** body agrees, together with everything else that the outcome rests on (the page's address, the head's
//! type and coding, the policy, the limits). A body is waited for only where its address has sent the same body twice
//! running, and then not for long; any other streams through the engine as it comes, and is hashed on its way. A page
//! is remembered when it comes the second time: most pages that differ each time never get that far.

mod whole;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};

use super::page;
use crate::{
    config::Limits,
    html::{self, BodyHead, Ending, Learn, Learnt, OnEnd, Outcome},
    vocab::Hash,
    wire::{Body, BodyError, Causes, Failure},
};
use whole::{Came, Hashed, Held, Room};

/// A keyed hash: of what an outcome rests on but for the body, or of all of it.
type Key = [u8; 32];

/// How many outcomes of one body are kept: visitors differ in what they have granted, and pages in what they ask for.
const OUTCOMES_MAX: usize = 8;

/// Of how many addresses it is known whether they repeat themselves: about 2 MiB.
const ADDRESSES_MAX: usize = 16_384;

/// Few, so that a large page fits into the part of the memory that is one shard's.
const SHARDS: usize = 8;

/// What is remembered of pages.
pub(super) struct Pages {
    /// New in every process: nobody outside can look for bodies that collide.
    key: Key,
    known: Cache<Key, Arc<Known>, Weight>,
    addresses: Cache<Key, Address>,
    /// The engine's limits.
    bounds: String,
    page_bytes_max: usize,
    room: Arc<Room>,
}

/// A body that was met, and what the engine came to in it.
struct Known {
    /// What the outcomes' offsets are of, where that is not the body as it came.
    text: Option<Bytes>,
    content_type: Option<String>,
    outcomes: Vec<Arc<Outcome>>,
    weight: u64,
}

/// What came from one address.
#[derive(Clone, Copy)]
struct Address {
    last: Key,
    /// The one before was the same.
    repeats: bool,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Known>> for Weight {
    fn weight(&self, _: &Key, known: &Arc<Known>) -> u64 {
        known.weight
    }
}

/// What an outcome rests on beside body and grants.
pub(super) struct Place<'p> {
    /// Equal where nothing that changes a page is different.
    pub(super) fingerprint: Hash,
    /// The prefix of the gate's own paths.
    pub(super) prefix: &'p str,
    pub(super) head: BodyHead<'p>,
}

/// A page as it goes to the visitor, and the headers that describe it now.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) content_encoding: Option<&'static str>,
    pub(super) content_type: Option<String>,
}

/// Gates a page, the short way if it is known.
pub(super) async fn gate(
    pages: Option<&Arc<Pages>>,
    place: Place<'_>,
    body: Body,
    page: html::Page,
    limits: html::Limits,
    on_end: OnEnd,
) -> Result<Answer, Failure> {
    let is_html = |kind: &str| html::Kind::of(kind.split(';').next().unwrap_or_default().trim()) == Some(html::Kind::Html);
    let (body, learn) = match pages.filter(|_| page.hold && place.head.content_type.is_some_and(is_html)) {
        None => (body, None),
        Some(pages) => match pages.look(&place, &page, body).await? {
            Looked::Known(answer, outcome) => {
                on_end(outcome.report(), Ending::Complete);
                return Ok(answer);
            }
            Looked::New(body, learn) => (body, learn),
        },
    };
    let gated = html::gate_body(body, place.head, page, limits, on_end, learn).await;
    let gated = gated.map_err(|refusal| Failure::Unreadable(Causes(&refusal).to_string()))?;
    Ok(Answer {
        body: gated.body.map_err(BodyError::from).boxed_unsync(),
        content_encoding: gated.content_encoding,
        content_type: gated.content_type,
    })
}

enum Looked {
    /// The page as it goes to the visitor.
    Known(Answer, Arc<Outcome>),
    /// The engine has to look, and tell if somebody wants to know.
    New(Body, Option<Learn>),
}

impl Pages {
    /// `None` where nothing is to be remembered.
    pub(super) fn new(limits: &Limits) -> Result<Option<Arc<Self>>, getrandom::Error> {
        let (page_bytes_max, bytes_max) = (limits.cached_page_bytes as usize, limits.page_cache_bytes);
        if page_bytes_max == 0 || bytes_max == 0 {
            return Ok(None);
        }
        let mut key = Key::default();
        getrandom::fill(&mut key)?;
        const USUAL_BYTES: u64 = 16 << 10;
        let options = OptionsBuilder::new()
            .estimated_items_capacity((bytes_max / USUAL_BYTES).max(16) as usize)
            .weight_capacity(bytes_max)
            .shards(SHARDS)
            .build()
            .expect("both capacities are given");
        let known = Cache::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default());
        let addresses = Cache::new(ADDRESSES_MAX);
        let room = Arc::new(Room::new(bytes_max as usize));
        let bounds = format!("{:?}", page::limits(limits));
        Ok(Some(Arc::new(Self { key, known, addresses, bounds, page_bytes_max, room })))
    }

    async fn look(self: &Arc<Self>, place: &Place<'_>, page: &html::Page, body: Body) -> Result<Looked, Failure> {
        let hasher = self.hasher(place, page);
        let address = *hasher.finalize().as_bytes();
        let seen = self.addresses.get(&address);
        let repeats = seen.is_some_and(|seen| seen.repeats);
        let body = match whole::read(body, self.page_bytes_max, repeats, &self.room).await? {
            Came::Large(body) => return Ok(Looked::New(body, None)),
            Came::Streaming(body) => body,
            Came::Whole(bytes, mut permit) => {
                let key = *hasher.clone().update(&bytes).finalize().as_bytes();
                match self.known.get(&key).and_then(|known| known.answer(&bytes, place, page)) {
                    Some(known) => {
                        let (outcome, bytes, content_encoding, content_type) = known?;
                        permit.hold(bytes.len());
                        let body = Held::new(bytes, permit).boxed_unsync();
                        return Ok(Looked::Known(Answer { body, content_encoding, content_type }, outcome));
                    }
                    None => Held::new(bytes, permit).boxed_unsync(),
                }
            }
        };
        let repeated = Arc::new(OnceLock::new());
        let learn = seen.map(|_| {
            let (pages, repeated) = (Arc::clone(self), Arc::clone(&repeated));
            let then = Box::new(move |learnt| {
                if let Some(key) = repeated.get() {
                    pages.remember(*key, learnt);
                }
            });
            Learn { bytes_max: self.page_bytes_max, then }
        });
        let pages = Arc::clone(self);
        let at_end = move |hash: Key| {
            let repeats = pages.addresses.get(&address).is_some_and(|seen| seen.last == hash);
            pages.addresses.insert(address, Address { last: hash, repeats });
            if repeats {
                // The engine asks once the body is over.
                let _ = repeated.set(hash);
            }
        };
        Ok(Looked::New(Hashed::new(body, hasher, self.page_bytes_max, Box::new(at_end)).boxed_unsync(), learn))
    }

    /// A hasher that has taken in everything but the body.
    fn hasher(&self, place: &Place<'_>, page: &html::Page) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let inserted = [&page.head, &page.body, &page.frame].map(|markup| u8::from(!markup.is_empty()));
        let parts: [&[u8]; 8] = [
            &place.fingerprint.0,
            place.prefix.as_bytes(),
            page.base.as_str().as_bytes(),
            place.head.content_type.unwrap_or_default().as_bytes(),
            place.head.content_encoding.unwrap_or_default().as_bytes(),
            &inserted,
            &[u8::from(page.amend_csp.is_some())],
            self.bounds.as_bytes(),
        ];
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher
    }

    /// Adds what was learnt to what is known of that body.
    fn remember(&self, key: Key, learnt: Learnt) {
        let mut outcomes = self.known.get(&key).map(|known| known.outcomes.clone()).unwrap_or_default();
        if outcomes.iter().any(|known| known.is_same(&learnt.outcome)) {
            return;
        }
        if outcomes.len() == OUTCOMES_MAX {
            outcomes.remove(0);
        }
        outcomes.push(Arc::new(learnt.outcome));
        let text = learnt.text.as_ref().map_or(0, Bytes::len);
        let weight =
            text + outcomes.iter().map(|outcome| outcome.weight()).sum::<usize>() + size_of::<Known>() + size_of::<Key>();
        let known = Known { text: learnt.text, content_type: learnt.content_type, outcomes, weight: weight as u64 };
        self.known.insert(key, Arc::new(known));
    }
}

/// An outcome, the body that it leads to, and the coding and type of that.
type Found = (Arc<Outcome>, Bytes, Option<&'static str>, Option<String>);

impl Known {
    /// The body for this visitor, if one of the outcomes is theirs.
    fn answer(&self, body: &Bytes, place: &Place<'_>, page: &html::Page) -> Option<Result<Found, Failure>> {
        let text = self.text.as_ref().unwrap_or(body);
        let (outcome, gated) = self
            .outcomes
            .iter()
            .find_map(|outcome| Some((outcome, html::gate_known(text, outcome, page, place.head.answer_encoding)?)))?;
        Some(match gated {
            Ok((bytes, coding)) => Ok((Arc::clone(outcome), bytes, coding, self.content_type.clone())),
            Err(error) => Err(Failure::Internal(Causes(&error).to_string())),
        })
    }
}
