//! Programs that say of themselves that they visit sites on their own: they cannot decide for a person, and
//! what they are shown was shown to nobody. What they say is a list, `bots.txt`, and no code.
//!
//! Who hides what it is passes: this keeps honest programs out of the log, not dishonest ones. The user agent
//! is looked at and never kept.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use http::{HeaderMap, header};

static DECLARED: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let texts = include_str!("bots.txt").lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let built = AhoCorasick::builder().ascii_case_insensitive(true).match_kind(MatchKind::LeftmostFirst).build(texts);
    built.expect("a list of short texts is a small automaton")
});

/// Whether the request's user agent declares a program that visits sites on its own. Without one nothing is declared.
pub fn is_declared_bot(headers: &HeaderMap) -> bool {
    headers.get_all(header::USER_AGENT).iter().any(|agent| DECLARED.is_match(agent.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn programs_that_say_so_are_told_from_browsers() {
        let said = |agent: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
            is_declared_bot(&headers)
        };
        for bot in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0) Chrome/116.0 Safari/537.36",
            "facebookexternalhit/1.1",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0)",
            "Mozilla/5.0 (compatible; GPTBot/1.2)",
            "ia_archiver",
            "SomeNewCrawler/0.1",
            "NiceBot/3",
        ] {
            assert!(said(bot), "{bot}");
        }
        for browser in [
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 30) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "curl/8.5.0",
            "",
        ] {
            assert!(!said(browser), "{browser}");
        }
        assert!(!is_declared_bot(&HeaderMap::new()));
    }
}
