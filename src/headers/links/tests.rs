use proptest::prelude::*;

use super::*;
use crate::headers::sample::{headers, lines, policy, rules};

fn base() -> Url {
    Url::parse("https://own.example/en/page").expect("a test address parses")
}

fn link(sent: &[&str]) -> (Vec<String>, Vec<String>) {
    let policy = policy();
    let mut map = headers("link", sent);
    let cut = filter_link(&mut map, policy, &policy.undecided(), &base());
    let kept = lines(&map, "link").into_iter().map(str::to_owned).collect();
    (kept, cut.into_iter().map(|c| format!("{} {}", c.address, rules(policy, &c.rules).join(" "))).collect())
}

#[test]
fn links_that_load_from_ungranted_vendors_are_cut_and_others_keep_their_bytes() {
    const HIT: &str = "https://acme.example/p.js acme/host";
    for (sent, kept, cut) in [
        ("<https://acme.example/p.js?id=1#x>; rel=preload; as=script", "", &[HIT][..]),
        (
            "</a.css>;rel=preload ,  <https://acme.example/p.js>; rel=\"preload\" , </b>; rel=next",
            "</a.css>;rel=preload , </b>; rel=next",
            &[HIT],
        ),
        ("<https://acme.example/p.js>; rel=preload, </b>; rel=next", "</b>; rel=next", &[HIT]),
        ("<//acme.example/p.js>; REL=\"author PreLoad\"", "", &[HIT]),
        ("<https://acme.example/p.js>; rel=author; rel=preload", "", &[HIT]),
        ("<https://acme.example/p.js>", "", &[HIT]),
        ("<https://acme.example/p.js>; rel=something-new", "", &[HIT]),
        (
            "<https://acme.example/p.js>; rel=\"canonical\"; title=\"a, b; c\"",
            "<https://acme.example/p.js>; rel=\"canonical\"; title=\"a, b; c\"",
            &[],
        ),
        (
            "</x,y;z>; rel=preload; title=\"a \\\" , \" , <https://u:p@acme.example/p.js>; rel=prefetch",
            "</x,y;z>; rel=preload; title=\"a \\\" , \" ",
            &[HIT],
        ),
        ("</i.jpg>; rel=preload; as=image; imagesrcset=\"/i.jpg 1x, https://acme.example/p.js 2x\"", "", &[HIT]),
        ("</i.jpg>; rel=preload; ImageSrcSet=\"/i.jpg 1x,https://acme.example/p.js, /j.jpg 2x\"", "", &[HIT]),
        ("</i.jpg>; rel=preload; imagesrcset=\"/i,x.jpg,https://acme.example/p.js\"", "", &[HIT]),
        (
            "</i.jpg>; rel=preload; as=image; imagesrcset=\"/i.jpg 1x, /j.jpg 2x\"",
            "</i.jpg>; rel=preload; as=image; imagesrcset=\"/i.jpg 1x, /j.jpg 2x\"",
            &[],
        ),
        ("</js/acme.js>; rel=preload", "", &["https://own.example/js/acme.js acme/self-hosted"]),
        ("<https://other.example/p.js>; rel=preload", "<https://other.example/p.js>; rel=preload", &[]),
        (" , ", " , ", &[]),
    ] {
        let want = if kept.is_empty() { vec![] } else { vec![kept.to_owned()] };
        assert_eq!(link(&[sent]), (want, cut.iter().map(|&c| c.to_owned()).collect()), "{sent}");
    }
}

#[test]
fn what_readers_disagree_on_is_cut() {
    for sent in [
        "https://acme.example/p.js; rel=preload",
        "<https://acme.example/p.js; rel=preload",
        "<https://acme.example/p.js>; rel=\"preload",
        "</a>; rel=x\", <https://acme.example/p.js>; rel=preload",
        "</a, <https://acme.example/p.js>; rel=preload",
        "</a>; title=\"x\\\", <https://acme.example/p.js>; rel=preload; t=\\\"y\"",
        "</a>x<https://acme.example/p.js>; rel=preload",
        "</a>; t=\"a\"b\"c, <https://acme.example/p.js>; rel=preload\"",
        "\"</a>, <https://acme.example/p.js>; rel=preload",
    ] {
        assert_eq!(link(&[sent]), (vec![], vec![" ".to_owned()]), "{sent}");
        assert_eq!(link(&[sent, "</b>; rel=next"]).0, ["</b>; rel=next"], "the other line stays: {sent}");
    }
}

#[test]
fn a_granted_vendors_links_stay() {
    let policy = policy();
    let mut map = headers("link", &["<https://acme.example/p.js>; rel=preload"]);
    assert!(filter_link(&mut map, policy, &policy.everything(), &base()).is_empty());
    assert_eq!(lines(&map, "link").len(), 1);
}

#[test]
fn a_refresh_to_an_ungranted_vendor_is_dropped() {
    let policy = policy();
    for (sent, stays) in [
        ("0; url=https://acme.example/r?x", false),
        ("0;URL='//acme.example/r'", false),
        ("0; https://acme.example/r", false),
        ("1e0; url=https://acme.example/r", false),
        ("0; url='https://acme.example/r' '", false),
        ("0; url=https://other.example/?https://acme.example/", true),
        ("30", true),
    ] {
        let mut map = headers("refresh", &[sent]);
        let cut = filter_refresh(&mut map, policy, &policy.undecided(), &base());
        assert_eq!(lines(&map, "refresh").len(), usize::from(stays), "{sent}");
        let addresses: Vec<&str> = cut.iter().map(|c| c.address.as_str()).collect();
        assert_eq!(addresses, if stays { vec![] } else { vec!["https://acme.example/r"] }, "{sent}");
    }
}

#[test]
fn lines_that_lead_to_a_vendor_only_together_are_dropped_together() {
    let policy = policy();
    for (sent, left) in
        [(&["0", "//acme.example/r"][..], 0), (&["0; url=/a", "0; url=//acme.example/r"], 1), (&["0", "//other.example/r"], 2)]
    {
        let mut map = headers("refresh", sent);
        filter_refresh(&mut map, policy, &policy.undecided(), &base());
        assert_eq!(lines(&map, "refresh").len(), left, "{sent:?}");
        let mut map = headers("refresh", sent);
        assert!(filter_refresh(&mut map, policy, &policy.everything(), &base()).is_empty());
    }
}

proptest! {
    /// A list of links, written and filtered, is the list without the vendor's links.
    #[test]
    fn links_written_by_the_grammar_are_read_back(list in prop::collection::vec((any::<bool>(), "[a-z,;]{0,6}", "[a-z ,;\\\\\"]{0,6}", any::<bool>()), 1..6)) {
        let written: Vec<(bool, String)> = list.iter().map(|(vendor, path, title, token_first)| {
            let host = if *vendor { "acme.example" } else { "b.example" };
            let title = title.replace('\\', "\\\\").replace('"', "\\\"");
            let (rel, title) = ("rel=preload".to_owned(), format!("title=\"{title}\""));
            let params = if *token_first { [rel, title] } else { [title, rel] };
            (*vendor, format!("<https://{host}/{path}>; {}", params.join(" ;")))
        }).collect();
        let join = |all: &mut dyn Iterator<Item = &(bool, String)>| all.map(|(_, l)| l.as_str()).collect::<Vec<_>>().join(",");
        let (kept, cut) = link(&[&join(&mut written.iter())]);
        let want = join(&mut written.iter().filter(|(vendor, _)| !vendor));
        prop_assert_eq!(kept, if want.is_empty() { vec![] } else { vec![want] });
        prop_assert_eq!(cut.len(), list.iter().filter(|(vendor, ..)| *vendor).count());
    }

    /// Whatever bytes come, no link that a plain reader (split at every comma) would load from the vendor is kept.
    #[test]
    fn nothing_a_plain_reader_would_load_survives(line in "[<>\",;\\\\ ]{0,6}(<https://acme\\.example/p\\.js>; ?rel=preload)[<>\",;\\\\ =a]{0,8}") {
        let (kept, _) = link(&[&line]);
        let loads = |l: &str| l.split(',').any(|piece| piece.trim().starts_with("<https://acme.example/p.js>"));
        prop_assert!(!kept.iter().any(|l| loads(l)), "{:?} from {:?}", kept, line);
    }
}
