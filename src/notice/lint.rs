//! Wording and layout, checked on what was rendered: a notice that would not be a fair question is
//! refused when it is loaded, whoever wrote its template.
//!
//! The rules are those of the EDPB's cookie banner taskforce (17-01-2023), guideline 03/2022 and
//! GDPR articles 4(11) and 7: refusing is as easy, as large and as near as accepting; nothing is
//! ticked beforehand; the first layer says who asks, for whom, for how long and how to withdraw.
//! What a site's own style sheet does to the page is out of its sight.

use super::{
    fill::Hole,
    offer::Offer,
    render::Face,
    scan::{Piece, Tag, scan},
    templates::{BANNER, CHOICES, PREFERENCES, STYLE},
};
use crate::config::Fault;

/// A rendering under the lint.
struct Page {
    file: &'static str,
    lang: String,
    pieces: Vec<Piece>,
    faults: Vec<Fault>,
}

/// A button with its label.
struct Button {
    tag: Tag,
    label: String,
    /// Number of the form it stands in, counted from 1; 0 outside.
    form: usize,
    /// Only text inside.
    plain: bool,
}

/// The first layer.
pub(super) fn banner(html: &str, face: &Face) -> Vec<Fault> {
    let mut page = Page::new(BANNER, html, face);
    page.root("consentry-banner");
    page.no_active_content();
    page.form();
    page.buttons(&[("choice", "accept_all"), ("choice", "reject_all"), ("formaction", &format!("{}/", Hole::Prefix.mark()))]);
    page.says_who_and_what(face);
    if !page.tags().any(|tag| tag.name == "template" && tag.has("data-consentry-choices")) {
        page.fault(
            "the link for after the decision is missing",
            "keep <template data-consentry-choices> with choices.html in it",
        );
    }
    page.faults
}

/// The preference page as somebody sees it who never decided.
pub(super) fn preferences(html: &str, face: &Face) -> Vec<Fault> {
    let mut page = Page::new(PREFERENCES, html, face);
    page.no_active_content();
    page.form();
    page.buttons(&[("choice", "save"), ("choice", "accept_all"), ("choice", "reject_all")]);
    page.boxes(&face.offer);
    page.faults
}

/// The preference page as somebody sees it who decided: withdrawing is one press, as accepting is.
pub(super) fn decided(html: &str, face: &Face) -> Vec<Fault> {
    let mut page = Page::new(PREFERENCES, html, face);
    let buttons = page.all_buttons();
    let class = |choice: &str| buttons.iter().find(|b| b.choice() == choice).and_then(|b| b.tag.get("class"));
    if class("withdraw").is_none() || class("withdraw") != class("accept_all") {
        page.fault(
            "withdrawing is not as easy as accepting (GDPR article 7(3))",
            "keep a button name=\"choice\" value=\"withdraw\" of the same class as the others",
        );
    }
    page.faults
}

/// The link after a decision.
pub(super) fn choices(html: &str, face: &Face) -> Vec<Fault> {
    let mut page = Page::new(CHOICES, html, face);
    page.root("consentry-choices");
    page.no_active_content();
    let target = format!("{}/", Hole::Prefix.mark());
    if !page.tags().any(|tag| tag.name == "a" && tag.get("href").is_some_and(|href| href.starts_with(&target))) {
        page.fault("no link leads to the preference page (GDPR article 7(3))", "keep <a href=\"{{ prefix }}/…\">");
    }
    page.faults
}

/// The style sheet: no rule for one button alone, and nothing that ends a `<style>` element.
pub(super) fn style(css: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (word, message) in [
        ("accept_all", "a rule singles out one of the buttons"),
        ("reject_all", "a rule singles out one of the buttons"),
        ("formaction", "a rule singles out one of the buttons"),
        ("[value", "a rule singles out one of the buttons"),
        ("</", "the sheet holds `</`, which would end it inside a page"),
    ] {
        if let Some(offset) = css.find(word) {
            faults.push(Fault::at(STYLE, css, offset, message, "all buttons are styled by one rule"));
        }
    }
    for (offset, _) in css.match_indices("consentry-button") {
        let selector = css[offset..].split(['{', ',']).next().unwrap_or_default();
        if ["nth-", "first-", "last-", "~", "+"].iter().any(|part| selector.contains(part)) {
            faults.push(Fault::at(
                STYLE,
                css,
                offset,
                "a rule singles out one of the buttons",
                "all buttons are styled by one rule",
            ));
        }
    }
    faults
}

// === impl Button ===

impl Button {
    fn choice(&self) -> &str {
        if self.tag.get("name") == Some("choice") { self.tag.get("value").unwrap_or_default() } else { "" }
    }

    fn is(&self, (kind, value): (&str, &str)) -> bool {
        if kind == "choice" { self.choice() == value } else { self.tag.get(kind) == Some(value) }
    }
}

// === impl Page ===

impl Page {
    fn new(file: &'static str, html: &str, face: &Face) -> Self {
        Self { file, lang: face.strings.tag.clone(), pieces: scan(html), faults: Vec::new() }
    }

    fn fault(&mut self, message: impl AsRef<str>, mend: impl Into<String>) {
        self.faults.push(Fault::whole(self.file, format!("{} (language {})", message.as_ref(), self.lang), mend));
    }

    fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Open(tag) => Some(tag),
            _ => None,
        })
    }

    /// All text as one line, for "does it say".
    fn text(&self) -> String {
        let texts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What other rooms and the release script know our markup by.
    fn root(&mut self, class: &str) {
        let root = self.tags().next().cloned().unwrap_or_default();
        let classes: Vec<&str> = root.get("class").unwrap_or_default().split_whitespace().collect();
        if !root.has("data-consentry")
            || !root.has("data-nosnippet")
            || !classes.contains(&"consentry")
            || !classes.contains(&class)
        {
            let mend = format!("begin with <section data-consentry data-nosnippet class=\"consentry {class}\" …>");
            self.fault("the outermost element is not marked as the gate's own", mend);
        }
    }

    /// Strict content security policies forbid it, and a notice that runs code is no proof of what was shown.
    fn no_active_content(&mut self) {
        let page = self.file == PREFERENCES;
        let element = |name: &str| match name {
            "script" | "iframe" | "object" | "embed" | "dialog" | "img" | "video" | "base" => true,
            "style" | "link" | "meta" => !page,
            _ => false,
        };
        let attribute = |name: &str| name == "style" || name == "autofocus" || name == "checked" || name.starts_with("on");
        let mut found: Vec<String> = Vec::new();
        for tag in self.tags() {
            if element(&tag.name) {
                found.push(format!("<{}>", tag.name));
            }
            found.extend(tag.attributes.iter().filter(|(name, _)| attribute(name)).map(|(name, _)| format!("`{name}`")));
        }
        found.sort();
        found.dedup();
        for what in found {
            let message = match what.as_str() {
                "`checked`" => "a box is ticked before anybody ticked it (CJEU C-673/17)".to_owned(),
                _ => format!("{what} must not stand in a notice"),
            };
            self.fault(message, "remove it");
        }
    }

    fn form(&mut self) {
        let forms: Vec<Tag> = self.tags().filter(|tag| tag.name == "form").cloned().collect();
        let action = format!("{}/decision", Hole::Prefix.mark());
        let [form] = forms.as_slice() else {
            self.fault(format!("there are {} forms", forms.len()), "all buttons stand in one form");
            return;
        };
        let post = form.get("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        if !post || form.get("action") != Some(&action) {
            self.fault("the form does not lead to the gate", "write <form method=\"post\" action=\"{{ prefix }}/decision\" …>");
        }
        for (name, hole) in [("notice", Hole::Token), ("return", Hole::Return)] {
            let value = hole.mark().to_string();
            if !self.tags().any(|tag| tag.name == "input" && tag.get("name") == Some(name) && tag.get("value") == Some(&value)) {
                let variable = if name == "notice" { "token" } else { "return_to" };
                let mend = format!("keep <input type=\"hidden\" name=\"{name}\" value=\"{{{{ {variable} }}}}\">");
                self.fault(format!("the form has no field `{name}`"), mend);
            }
        }
    }

    /// The three buttons: there, in this order, in the form, and alike.
    fn buttons(&mut self, wanted: &[(&str, &str); 3]) {
        let buttons: Vec<Button> = self.all_buttons().into_iter().filter(|button| button.choice() != "withdraw").collect();
        let in_order = buttons.len() == 3 && buttons.iter().zip(wanted).all(|(button, &want)| button.is(want));
        if !in_order {
            let order: Vec<&str> = wanted.iter().map(|&(kind, value)| if kind == "choice" { value } else { "choose" }).collect();
            self.fault("the three buttons are not there", format!("in this order, and no others: {}", order.join(", ")));
            return;
        }
        let first = &buttons[0];
        let class = first.tag.get("class").unwrap_or_default();
        let own = ["class", "type", "name", "value", "formmethod", "formaction"];
        let alike = buttons.iter().all(|button| {
            button.form == 1
                && button.plain
                && button.tag.name == "button"
                && button.tag.get("class").unwrap_or_default() == class
                && button.tag.attributes.iter().all(|(name, _)| own.contains(&name.as_str()))
        });
        if !alike || class.is_empty() {
            self.fault(
                "the buttons are not alike (EDPB cookie banner taskforce, practices A to F)",
                "give all three the same tag and class, no other attributes, and nothing but text inside",
            );
        }
        let same_words = |a: &Button, b: &Button| a.label.to_lowercase() == b.label.to_lowercase();
        if buttons.iter().any(|b| b.label.is_empty()) || (0..3).any(|i| same_words(&buttons[i], &buttons[(i + 1) % 3])) {
            self.fault("the buttons do not say what they do", "give each its own label");
        }
        self.balance(&buttons);
    }

    /// No label may shrink its neighbour: the longer of accept and reject is at most twice the other.
    fn balance(&mut self, buttons: &[Button]) {
        let width = |choice: &str| buttons.iter().find(|b| b.choice() == choice).map(|b| b.label.chars().count());
        if let (Some(accept), Some(reject)) = (width("accept_all"), width("reject_all"))
            && (accept > 2 * reject || reject > 2 * accept)
        {
            self.fault("the labels of accepting and rejecting are of very different weight", "use words of similar length");
        }
    }

    fn all_buttons(&self) -> Vec<Button> {
        let mut buttons: Vec<Button> = Vec::new();
        let (mut form, mut inside_form, mut open) = (0, false, false);
        for piece in &self.pieces {
            match piece {
                Piece::Open(tag) if tag.name == "form" => (form, inside_form) = (form + 1, true),
                Piece::Close(name) if name == "form" => inside_form = false,
                Piece::Open(tag) if presses(tag) => {
                    open = tag.name == "button";
                    let label = tag.get("value").filter(|_| !open).unwrap_or_default().to_owned();
                    buttons.push(Button { tag: tag.clone(), label, form: if inside_form { form } else { 0 }, plain: true });
                }
                Piece::Close(name) if name == "button" => open = false,
                Piece::Open(_) if open => buttons.last_mut().expect("a button is open").plain = false,
                Piece::Text(text) if open => buttons.last_mut().expect("a button is open").label.push_str(text.trim()),
                _ => {}
            }
        }
        buttons
    }

    fn says_who_and_what(&mut self, face: &Face) {
        let text = self.text();
        let offer = &face.offer;
        let says = |words: &str| text.contains(&words.split_whitespace().collect::<Vec<_>>().join(" "));
        let mut unsaid: Vec<String> = Vec::new();
        if !says(&offer.controller.name) {
            unsaid.push("who asks: {{ t.banner.intro }}".to_owned());
        }
        if !says(&face.months(offer.decision_months)) {
            unsaid.push("how long the choice holds: {{ t.banner.holds }}".to_owned());
        }
        let purposes = offer.purposes.iter().filter(|purpose| !(purpose.always || says(&purpose.title) && says(&purpose.short)));
        unsaid.extend(purposes.map(|purpose| format!("the purpose `{}`: {{{{ purpose.short }}}}", purpose.id)));
        let vendors = offer.vendors.iter().filter(|vendor| !says(&vendor.name));
        unsaid.extend(vendors.map(|vendor| format!("the vendor `{}`: {{{{ vendor_names }}}}", vendor.id)));
        if !offer.controller.privacy_policy.is_empty() && !self.tags().any(|tag| tag.name == "a" && tag.has("href")) {
            unsaid.push("where the privacy policy is: {{ privacy_policy }}".to_owned());
        }
        for what in unsaid {
            let (what, place) = what.rsplit_once(": ").unwrap_or((&what, ""));
            self.fault(format!("the first layer does not say {what}"), format!("put {place} into it"));
        }
    }

    /// One box for everything that can be granted, none for what needs no consent.
    fn boxes(&mut self, offer: &Offer) {
        let boxes: Vec<String> = self
            .tags()
            .filter(|tag| tag.name == "input" && tag.get("type") != Some("hidden"))
            .map(|tag| {
                format!(
                    "{} {}={}",
                    tag.get("type").unwrap_or_default(),
                    tag.get("name").unwrap_or_default(),
                    tag.get("value").unwrap_or_default()
                )
            })
            .collect();
        let purposes = offer.purposes.iter().filter(|p| !p.always).map(|p| format!("checkbox purpose.{}=on", p.id));
        let mut wanted: Vec<String> = purposes
            .chain(offer.vendors.iter().filter(|v| offer.asks(v)).map(|v| format!("checkbox vendor.{}=on", v.id)))
            .collect();
        let mut found = boxes;
        wanted.sort();
        found.sort();
        let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let lacking = list(wanted.iter().filter(|name| !found.contains(name)).collect());
        let surplus = list(found.iter().filter(|name| !wanted.contains(name)).collect());
        if !lacking.is_empty() {
            self.fault(format!("boxes are missing: {lacking}"), "keep the loops over `purposes` and `purpose.vendors`");
        }
        if !surplus.is_empty() {
            self.fault(format!("fields stand there that nobody asked for: {surplus}"), "remove them");
        }
        if found.windows(2).any(|pair| pair[0] == pair[1]) {
            self.fault("a box stands there twice", "keep one box for each of `purpose.vendors`");
        }
    }
}

fn presses(tag: &Tag) -> bool {
    tag.name == "button" || tag.name == "input" && matches!(tag.get("type"), Some("submit" | "image" | "button"))
}
