//! Fetches pages as a browser would ask for them: redirects followed, gzip read, everything bounded.

use std::{io::Read as _, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use url::Url;

use crate::{
    config::Limits,
    proxy::{
        progress::Progress,
        upstream::{Setting, Upstreams},
    },
    wire,
};

/// The largest page that is fetched, before and after decompression.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// How often a redirect is followed.
const REDIRECTS_MAX: usize = 5;
/// How long one page may take.
const PAGE_TIME_MAX: Duration = Duration::from_secs(60);

/// Something fetched.
pub(super) struct Fetched {
    /// Where it was found in the end.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    /// `Content-Type` without parameters, lower case.
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
}

/// Fetches, over one connection while the origin stays the same.
#[derive(Default)]
pub(super) struct Fetcher {
    upstream: Option<(url::Origin, Upstreams)>,
}

impl Fetcher {
    /// Fetches an address; `accept` is what a browser would ask for there.
    pub(super) async fn get(&mut self, url: Url, accept: &'static str) -> anyhow::Result<Fetched> {
        let found = tokio::time::timeout(PAGE_TIME_MAX, self.follow(url, accept)).await;
        found.map_err(|_| anyhow!("it took longer than {} s", PAGE_TIME_MAX.as_secs()))?
    }

    async fn follow(&mut self, mut url: Url, accept: &'static str) -> anyhow::Result<Fetched> {
        for _ in 0..=REDIRECTS_MAX {
            let authority =
                url.host_str().map(|host| url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
            let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
            let head = Request::get(target)
                .header(header::HOST, authority.unwrap_or_default())
                .header(header::ACCEPT, accept)
                .header(header::ACCEPT_ENCODING, "gzip")
                .header(header::USER_AGENT, concat!("consentry/", env!("CARGO_PKG_VERSION")))
                .body(())?
                .into_parts()
                .0;
            let sent = self.upstream(&url)?.send(wire::empty(), &Progress::none(), |_| head.clone()).await;
            let (resp, _) = sent.map_err(|failure| anyhow!("{}", wire::Causes(&failure)))?;
            if resp.status().is_redirection()
                && let Some(place) = resp.headers().get(header::LOCATION).and_then(|value| value.to_str().ok())
            {
                url = url.join(place).context("the page redirects to no address")?;
                if !matches!(url.scheme(), "http" | "https") {
                    bail!("the page redirects to {url}");
                }
                continue;
            }
            let (head, body) = resp.into_parts();
            let body = http_body_util::Limited::new(body, PAGE_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow!("the page broke off or is larger than {PAGE_BYTES_MAX} bytes: {error}"))?;
            let body = plain(&head.headers, body.to_bytes().to_vec())?;
            let kind = wire::single(&head.headers, &header::CONTENT_TYPE).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            return Ok(Fetched { url, status: head.status, kind, body });
        }
        bail!("the page redirects more than {REDIRECTS_MAX} times")
    }

    fn upstream(&mut self, url: &Url) -> anyhow::Result<&Upstreams> {
        if self.upstream.as_ref().is_none_or(|(origin, _)| *origin != url.origin()) {
            let setting = Setting::of(&Limits::default(), None)?;
            let server = Url::parse(&url[..url::Position::BeforePath])?;
            self.upstream = Some((url.origin(), Upstreams::new(&[server], setting, None)?));
        }
        self.upstream.as_ref().map(|(_, upstream)| upstream).context("an upstream was just made")
    }
}

/// The body without its coding.
fn plain(head: &HeaderMap, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let coding = wire::single(head, &header::CONTENT_ENCODING).unwrap_or("identity").to_ascii_lowercase();
    match coding.as_str() {
        "identity" => Ok(body),
        "gzip" | "x-gzip" => {
            let mut plain = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(body.as_slice()).take(PAGE_BYTES_MAX as u64 + 1);
            reader.read_to_end(&mut plain).context("the page's gzip cannot be read")?;
            if plain.len() > PAGE_BYTES_MAX {
                bail!("the page is larger than {PAGE_BYTES_MAX} bytes");
            }
            Ok(plain)
        }
        other => bail!("the server sent the coding {other}, which was not asked for; save the page and use --html"),
    }
}
