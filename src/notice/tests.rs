use super::*;
use crate::{
    policy::Sources,
    vocab::{Grants, Purpose},
};

/// A site with a vendor of one purpose, one of two, and one that nobody wrote a sentence about.
fn policy_with(edit: impl FnOnce(&mut Sources)) -> Policy {
    let mut sources = Sources::default();
    sources.insert("default.toml", include_str!("../../policies/default.toml"));
    sources.insert("regimes/eu.toml", include_str!("../../policies/regimes/eu.toml"));
    sources.insert(
        "site.toml",
        "vendors = \"all\"\n[controller]\nname = \"Schloß & Söhne\"\ncontact = \"a@b.example\"\nprivacy_policy = \"/privacy\"\n",
    );
    for (id, name, purposes) in [
        ("meta", "Meta Pixel", "\"marketing\""),
        ("youtube", "YouTube", "\"functional\", \"marketing\""),
        ("matomo", "Matomo", "\"analytics\""),
    ] {
        let vendor = format!(
            "id = \"{id}\"\nname = \"{name}\"\ncompany = \"{name} Ltd\"\nprivacy_policy = \"https://{id}.example/privacy\"\n\
             purposes = [{purposes}]\n[[rule]]\nid = \"r\"\nhosts = [\"{id}.example\"]\n"
        );
        sources.insert(format!("vendors/{id}.toml"), vendor);
    }
    edit(&mut sources);
    match Policy::compile(&sources) {
        Ok((policy, _)) => policy,
        Err(faults) => panic!("{}", lines(&faults)),
    }
}

fn policy() -> Policy {
    policy_with(|_| {})
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| fault.to_string()).collect::<Vec<_>>().join("\n")
}

fn build_with(policy: &Policy, edit: impl FnOnce(&mut TemplateSources)) -> Result<(Notices, Vec<Fault>), Vec<Fault>> {
    let mut sources = TemplateSources::embedded();
    edit(&mut sources);
    Notices::build(policy, &sources, "shop.example")
}

fn build(policy: &Policy) -> Notices {
    match build_with(policy, |_| {}) {
        Ok((notices, warnings)) => {
            assert_eq!(lines(&warnings), "");
            notices
        }
        Err(faults) => panic!("{}", lines(&faults)),
    }
}

/// The faults of an override, which must be refused.
fn refused(path: &str, from: &str, to: &str) -> Vec<Fault> {
    let text = TemplateSources::embedded().get(path).expect("it is embedded").to_owned();
    assert!(text.contains(from), "{path} has no {from}");
    match build_with(&policy(), |sources| sources.insert(path, text.replacen(from, to, 1))) {
        Err(faults) => faults,
        Ok(_) => panic!("{path} with {to} was accepted"),
    }
}

const FILL: Fill<'_> = Fill { prefix_url: "https://shop.example/_consent", token: "tok", return_to: "/tea?x=1", csp_nonce: None };

// === What is injected ===

#[test]
fn what_goes_into_the_sites_pages_is_ascii_and_says_everything() {
    let notices = build(&policy());
    for language in notices.languages() {
        let banner = notices.banner(language, &FILL);
        for markup in [&banner, &notices.choices(language, &FILL), &notices.head(&FILL)] {
            assert!(markup.is_ascii(), "{markup}");
        }
        for words in ["Schlo&#223; &amp; S&#246;hne", "Meta Pixel", "YouTube", "Matomo", "Retargeting", "Lookalike", "Cookies"] {
            assert!(banner.to_lowercase().contains(&words.to_lowercase()), "{}: {words}", language.tag());
        }
        assert!(banner.contains("href=\"https://shop.example/privacy\""), "{banner}");
    }
    let english = notices.banner(notices.negotiate(Some("en")), &FILL);
    for words in [">Accept all<", ">Reject all<", ">Choose<", "3 vendors", "6 months", "&#8220;Privacy choices&#8221;"] {
        assert!(english.contains(words), "{words} in {english}");
    }
}

#[test]
fn the_head_carries_the_style_and_a_nonce() {
    let notices = build(&policy());
    let head = notices.head(&Fill { csp_nonce: Some("a\"b"), ..FILL });
    let address = format!("=\"https://shop.example/_consent/assets/{}\"", notices.style().path);
    assert!(head.contains(" nonce=\"a&#34;b\"") && head.contains(&address), "{head}");
    let head = notices.head(&FILL);
    assert!(!head.contains("nonce=") && head.contains(&address), "{head}");
}

#[test]
fn no_name_token_or_path_breaks_out_of_its_place() {
    let attack = "\"'><script>alert(1)</script>{{ 7*7 }}{months}";
    let policy = policy_with(|s| {
        let name = attack.replace('"', "\\\"");
        s.insert(
            "site.toml",
            format!("vendors = \"all\"\n[controller]\nname = \"{name}\"\ncontact = \"javascript:alert(1)@x\"\n"),
        );
    });
    let notices = build(&policy);
    let fill = Fill { token: attack, return_to: attack, csp_nonce: Some(attack), ..FILL };
    let english = notices.negotiate(None);
    let shown = Shown {
        problems: vec![(attack.to_owned(), Problem::FieldUnknown), ("purpose.\"><b>".to_owned(), Problem::ValueBad)],
        ticked: Ticked { purposes: [attack.to_owned()].into(), vendors: [attack.to_owned()].into() },
        ..Shown::default()
    };
    for markup in [
        notices.head(&fill),
        notices.banner(english, &fill),
        notices.choices(english, &fill),
        notices.preferences(english, &fill, &shown),
        notices.error_page(english, 502, attack),
    ] {
        assert!(!markup.contains("<script") && !markup.contains("49") && !markup.contains("<b>"), "{markup}");
        assert!(!markup.contains("href=\"javascript"), "{markup}");
        assert!(scan::scan(&markup).iter().all(|piece| !matches!(piece, scan::Piece::Open(tag) if tag.name == "script")));
    }
}

#[test]
fn a_reserved_character_from_outside_fills_no_hole() {
    let notices = build(&policy());
    let english = notices.negotiate(None);
    let shown = Shown { problems: vec![("\u{FDD2}\u{FDD0}x".to_owned(), Problem::FieldUnknown)], ..Shown::default() };
    let page = notices.preferences(english, &Fill { token: "SECRET", ..FILL }, &shown);
    assert_eq!(page.matches("SECRET").count(), 1, "only the hidden field");
}

// === The preference page ===

#[test]
fn the_preference_page_has_a_box_for_everything_and_ticks_nothing_by_itself() {
    let notices = build(&policy());
    for language in notices.languages() {
        let page = notices.preferences(language, &FILL, &Shown::default());
        assert_eq!(page.matches("type=\"checkbox\"").count(), 3 + 3, "three purposes, three vendors");
        assert!(!page.contains(" checked") && !page.contains("value=\"withdraw\""), "{page}");
        assert!(page.contains("href=\"https://shop.example/tea?x=1\""), "{page}");
        assert!(!page.contains("<script"));
    }
}

#[test]
fn the_recorded_choice_is_ticked_said_in_words_and_can_be_withdrawn() {
    let policy = policy();
    let notices = build(&policy);
    let mut grants = Grants { purposes: [Purpose(0), Purpose(2)].into_iter().collect(), ..Grants::default() };
    grants.allowed.insert(policy.vendor("meta").expect("a test vendor"));
    let shown = Shown {
        decided: Some(Decided {
            receipt: true,
            at: "2026-11-24T10:00:00Z".parse().expect("a timestamp"),
            expires: "2027-05-24T10:00:00Z".parse().expect("a timestamp"),
        }),
        ticked: Ticked::of(&policy, &grants),
        message: Some(Message::Saved),
        ..Shown::default()
    };
    let page = notices.preferences(notices.negotiate(Some("en")), &FILL, &shown);
    assert_eq!(page.matches(" checked>").count(), 2, "{page}");
    for words in [
        "You decided on 24 November 2026. Your choice holds until 24 May 2027.",
        "Allowed now: Analytics · Meta Pixel.",
        "Your choice is saved.",
        "value=\"withdraw\"",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
}

#[test]
fn ticks_made_from_grants_never_grant_more_when_saved_again() {
    let policy = policy();
    let id = |id| policy.vendor(id).expect("a test vendor");
    // Functional and marketing, but not YouTube, which has both.
    let mut grants = Grants { purposes: [Purpose(0), Purpose(1), Purpose(3)].into_iter().collect(), ..Grants::default() };
    grants.denied.insert(id("youtube"));
    let ticked = Ticked::of(&policy, &grants);
    assert_eq!(ticked.purposes.iter().collect::<Vec<_>>(), ["necessary"]);
    assert_eq!(ticked.vendors.iter().collect::<Vec<_>>(), ["meta"]);
    grants = Grants::default();
    grants.allowed.insert(id("matomo"));
    grants.denied.insert(id("matomo"));
    assert_eq!(Ticked::of(&policy, &grants), Ticked::default());
}

#[test]
fn problems_are_listed_with_links_to_their_boxes_and_choices_are_kept() {
    let notices = build(&policy());
    let shown = Shown {
        problems: vec![("vendor.meta".to_owned(), Problem::ValueBad), ("purpose.nope".to_owned(), Problem::FieldUnknown)],
        ticked: Ticked { purposes: ["analytics".to_owned()].into(), ..Ticked::default() },
        ..Shown::default()
    };
    let page = notices.preferences(notices.negotiate(Some("de")), &FILL, &shown);
    assert!(page.contains("href=\"#consentry-vendor-meta\"") && page.contains("id=\"consentry-vendor-meta\""), "{page}");
    assert!(page.contains("„purpose.nope“") && page.matches(" checked>").count() == 1, "{page}");
}

#[test]
fn every_status_has_a_page_in_every_language() {
    let notices = build(&policy());
    for language in notices.languages() {
        let mut pages: Vec<String> =
            [403, 404, 413, 422, 429, 502, 503, 504, 418].map(|status| notices.error_page(language, status, "")).into();
        assert!(
            pages
                .iter()
                .all(|page| page.starts_with("<!doctype html>") && page.contains(&format!("lang=\"{}\"", language.tag())))
        );
        pages.sort();
        pages.dedup();
        assert_eq!(pages.len(), 9);
    }
}

#[test]
fn a_purpose_is_asked_for_if_a_declared_vendor_or_the_site_itself_has_it() {
    let policy = policy_with(|s| {
        s.insert("site.toml", "vendors = [\"matomo\"]\n[controller]\nname = \"A\"\ncontact = \"a@b.example\"\n");
        let default = format!("[[purpose]]\nid = \"letters\"\n\n{}", s.get("default.toml").expect("it is there"));
        s.insert(
            "default.toml",
            default.replacen("regime = \"eu\"", "", 1).replacen("[[purpose]]", "regime = \"eu\"\n[[purpose]]", 1),
        );
    });
    let (notices, warnings) = build_with(&policy, |_| {}).unwrap_or_else(|faults| panic!("{}", lines(&faults)));
    assert!(lines(&warnings).contains("plain words what `letters` is"), "{}", lines(&warnings));
    let page = notices.preferences(notices.negotiate(None), &FILL, &Shown::default());
    for (name, there) in [("letters", true), ("analytics", true), ("marketing", false), ("functional", false)] {
        assert_eq!(page.contains(&format!("name=\"purpose.{name}\"")), there, "{name}");
    }
}

// === Notices as evidence ===

#[test]
fn a_notice_is_addressed_by_what_it_shows_and_by_nothing_else() {
    let hashes = |notices: &Notices| notices.notices().map(|notice| notice.hash).collect::<Vec<_>>();
    let notices = build(&policy());
    assert_eq!(hashes(&notices), hashes(&build(&policy())));
    assert_eq!(notices.notices().count(), 4, "two languages, two layers");
    for notice in notices.notices() {
        assert_eq!(notice.hash, Hash::of(notice.snapshot.as_bytes()));
        assert_eq!(notices.find(&notice.hash).map(|found| found.layer), Some(notice.layer));
        let value: serde_json::Value = serde_json::from_str(&notice.snapshot).expect("it is JSON");
        let keys: Vec<&String> = value.as_object().expect("an object").keys().collect();
        assert!(keys.is_sorted() && value["html"].as_str().is_some_and(|html| html.contains("name=\"notice\" value=\"\"")));
    }
    let changed = |edit: fn(&mut TemplateSources)| {
        let (changed, _) = build_with(&policy(), edit).unwrap_or_else(|faults| panic!("{}", lines(&faults)));
        notices.notices().filter(|notice| changed.find(&notice.hash).is_none()).count()
    };
    assert_eq!(
        changed(|s| s.insert("strings/de.toml", s.get("strings/de.toml").unwrap_or_default().replace("Auswählen", "Wählen"))),
        2
    );
    assert_eq!(changed(|s| s.insert("consentry.css", format!("{}/* */", s.get("consentry.css").unwrap_or_default()))), 4);
    assert_eq!(changed(|s| s.insert("error.html", format!("{} ", s.get("error.html").unwrap_or_default()))), 0);
    let renamed =
        policy_with(|s| s.insert("site.toml", "vendors = \"all\"\n[controller]\nname = \"B\"\ncontact = \"a@b.example\"\n"));
    assert!(notices.notices().all(|notice| build(&renamed).find(&notice.hash).is_none()));
}

#[test]
fn a_language_has_a_notice_of_either_layer() {
    let notices = build(&policy());
    let german = notices.negotiate(Some("de-AT, en;q=0.5"));
    assert_eq!((german.tag(), german.name(), german.dir()), ("de", "Deutsch", "ltr"));
    assert_eq!(notices.notice(german, Layer::Preferences).lang, "de");
    assert_eq!(notices.negotiate(Some("fr")).tag(), "en");
    assert!(german.problem("purpose.x", Problem::FieldUnknown).contains("purpose.x"));
}

// === The lint ===

#[test]
fn a_banner_that_is_no_fair_question_is_refused() {
    let accept = "<button class=\"consentry-button\" type=\"submit\" name=\"choice\" value=\"accept_all\">";
    let reject = "<button class=\"consentry-button\" type=\"submit\" name=\"choice\" value=\"reject_all\">";
    for (path, from, to, message) in [
        ("banner.html", accept, &*accept.replace("consentry-button", "consentry-button big"), "not alike"),
        ("banner.html", accept, &accept.replace("type=", "title=\"Do it\" type="), "not alike"),
        ("banner.html", "{{ t.buttons.accept_all }}", "<b>{{ t.buttons.accept_all }}</b>", "not alike"),
        (
            "banner.html",
            reject,
            "<input type=\"submit\" class=\"consentry-button\" name=\"choice\" value=\"reject_all\">",
            "not alike",
        ),
        ("banner.html", reject, "<a class=\"consentry-button\" href=\"x\">", "three buttons are not there"),
        ("banner.html", "value=\"reject_all\"", "value=\"accept_all\"", "three buttons are not there"),
        ("banner.html", "{{ t.buttons.reject_all }}", "No", "very different weight"),
        ("banner.html", "{{ t.buttons.reject_all }}", "{{ t.buttons.accept_all }}", "do not say what they do"),
        (
            "banner.html",
            "<div class=\"consentry-words\">",
            "<div class=\"consentry-words\" style=\"color:red\">",
            "`style` must not",
        ),
        ("banner.html", "<div class=\"consentry-words\">", "<div onclick=\"x()\">", "`onclick` must not"),
        ("banner.html", "</form>", "</form><script>1</script>", "<script> must not"),
        ("banner.html", "{{ prefix }}/decision", "/decision", "does not lead to the gate"),
        ("banner.html", "value=\"{{ token }}\"", "value=\"\"", "no field `notice`"),
        ("banner.html", "data-nosnippet ", "", "not marked as the gate's own"),
        ("banner.html", "{{ vendor_names }}</p>", "</p>", "does not say the vendor `meta`"),
        ("banner.html", "{{ purpose.short }}", "", "does not say the purpose `marketing`"),
        ("banner.html", "{{ t.banner.intro }}", "Cookies!", "does not say who asks"),
        ("banner.html", "{{ t.banner.holds }}", "For ever.", "does not say how long"),
        ("banner.html", "<template data-consentry-choices>", "<template>", "link for after the decision is missing"),
        ("choices.html", "href=\"{{ prefix }}/", "href=\"/", "no link leads to the preference page"),
        ("preferences.html", "{% if purpose.ticked %} checked{% endif %}", " checked", "ticked before anybody"),
        ("preferences.html", "name=\"vendor.{{ vendor.id }}\"", "name=\"v\"", "boxes are missing"),
        ("preferences.html", "value=\"withdraw\"", "value=\"x\"", "as easy as accepting"),
        ("preferences.html", "value=\"save\"", "value=\"accept_all\"", "three buttons are not there"),
        ("consentry.css", "@layer", "[value=accept_all]{font-size:2em} @layer", "singles out"),
        ("consentry.css", "@layer", ".consentry-button:first-child{font-size:2em} @layer", "singles out"),
        ("consentry.css", "@layer", "</style> @layer", "would end it"),
    ] {
        let faults = refused(path, from, to);
        assert!(faults.iter().any(|fault| fault.message.contains(message)), "{to}: {}", lines(&faults));
        assert!(faults.iter().all(|fault| !fault.mend.is_empty()), "{}", lines(&faults));
    }
}

#[test]
fn a_template_that_cannot_be_rendered_is_a_fault_at_its_line() {
    for (from, to, line) in
        [("{{ t.banner.title }}", "{{ t.banner.titel }}", 12), ("{{ t.banner.title }}", "{{ t.banner.title }", 12)]
    {
        let faults = refused("banner.html", from, to);
        assert_eq!((faults[0].file.as_str(), faults[0].line), ("banner.html", line), "{}", lines(&faults));
    }
}

// === Strings ===

#[test]
fn faults_of_strings_are_named_with_line_and_mend() {
    for (path, from, to, want) in [
        ("strings/de.toml", "lead = ", "leed = ", "unknown key `preferences.leed`"),
        ("strings/de.toml", "{choices}", "{choice}", "has no `{choice}`"),
        ("strings/en.toml", "{months}", "six months", "`banner.holds` does not say `{months}`"),
        ("strings/en.toml", "\"Choose\"", "\" \"", "`buttons.choose` is empty"),
        ("strings/en.toml", "\"ltr\"", "\"left\"", "`left` is no direction"),
        ("strings/en.toml", "January ", "", "twelve months"),
        ("strings/en.toml", "title = \"Necessary\"", "titel = \"Necessary\"", "unknown key `purposes.necessary.titel`"),
    ] {
        let faults = refused(path, from, to);
        let fault =
            faults.iter().find(|fault| fault.message.contains(want)).unwrap_or_else(|| panic!("{want}: {}", lines(&faults)));
        assert!(fault.file == path && fault.line > 1 && !fault.mend.is_empty(), "{fault}");
    }
}

#[test]
fn an_edited_language_lies_over_the_built_in_one_and_a_new_one_borrows_from_english() {
    let (notices, warnings) = build_with(&policy(), |s| {
        s.insert("strings/de.toml", "[buttons]\naccept_all = \"Gern alle\"\n");
        s.insert("strings/ar.toml", "[language]\nname = \"العربية\"\ndir = \"rtl\"\n");
        let italian = s.get("strings/de.toml").unwrap_or_default().replace("Gern alle", "Accetta tutto");
        s.insert("strings/it.toml", italian);
    })
    .unwrap_or_else(|faults| panic!("{}", lines(&faults)));
    let german = notices.banner(notices.negotiate(Some("de")), &FILL);
    assert!(german.contains(">Gern alle<") && german.contains("Alle ablehnen"), "{german}");
    let arabic = notices.banner(notices.negotiate(Some("ar")), &FILL);
    assert!(arabic.is_ascii() && arabic.contains("lang=\"ar\" dir=\"rtl\"") && arabic.contains(">Choose<"), "{arabic}");
    let said = lines(&warnings);
    assert!(!said.contains("strings/de.toml"), "{said}");
    for language in ["ar", "it"] {
        assert!(said.contains(&format!("strings/{language}.toml: ")), "{said}");
        assert!(said.contains("texts are missing"), "one sentence for all of them: {said}");
    }
}

#[test]
fn a_vendor_without_a_sentence_is_offered_by_name_with_a_warning() {
    let policy = policy_with(|s| {
        let vendor = s.get("vendors/meta.toml").expect("a test vendor").replace("meta", "acme").replace("Meta Pixel", "Acme");
        s.insert("vendors/acme.toml", vendor);
    });
    let (notices, warnings) = build_with(&policy, |_| {}).unwrap_or_else(|faults| panic!("{}", lines(&faults)));
    assert_eq!(warnings.len(), 1, "{}", lines(&warnings));
    assert!(warnings[0].message.contains("`acme`"));
    assert!(notices.preferences(notices.negotiate(None), &FILL, &Shown::default()).contains("name=\"vendor.acme\""));
}

// === The style ===

/// WCAG 2.2: relative luminance of `#rrggbb`.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("a colour in hex")) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn text_is_readable_on_its_ground_in_both_themes() {
    let css = TemplateSources::embedded().get("consentry.css").expect("it is embedded").to_owned();
    let colours = |name: &str| -> Vec<f64> {
        let variable = format!("var(--consentry-{name}, ");
        css.split(&variable).skip(1).map(|rest| luminance(&rest[..7])).collect()
    };
    let paper = colours("paper");
    assert_eq!(paper.len(), 2, "light and dark");
    for (name, least) in [("ink", 7.0), ("quiet", 4.5), ("focus", 3.0)] {
        for (colour, paper) in colours(name).into_iter().zip(&paper) {
            let ratio = (colour.max(*paper) + 0.05) / (colour.min(*paper) + 0.05);
            assert!(ratio >= least, "{name}: {ratio:.2}");
        }
    }
}
