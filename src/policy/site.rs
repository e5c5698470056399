//! `policies/site.toml`: who answers for the site, and which vendors it declares.

use super::{Sources, vendor::VendorDef};
use crate::{
    config::{Fault, File, nearest},
    vocab::{VendorId, VendorSet},
};

/// Who answers for the site (GDPR article 4(7), recital 42).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controller {
    /// Name of the person or organisation. Empty while the operator has not said.
    pub name: String,
    /// Postal address.
    pub address: String,
    /// How to reach it: an e-mail address or a URL.
    pub contact: String,
    /// The site's privacy policy: an absolute URL, or a path on the site.
    pub privacy_policy: String,
    /// The data protection officer, if there is one: an e-mail address or a URL.
    pub dpo: String,
}

pub(super) struct Site {
    pub(super) controller: Controller,
    pub(super) declared: VendorSet,
}

const FILE: &str = "site.toml";

pub(super) fn read(sources: &Sources, vendors: &[VendorDef], faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) -> Option<Site> {
    let Some(text) = sources.get(FILE) else {
        faults.push(Fault::whole(FILE, "the file is missing", "run `consentry init` for a commented copy"));
        return None;
    };
    let (site, mut found) = File::read(FILE, text, |root| {
        let mut declared = VendorSet::EMPTY;
        let mut all = false;
        match root.string_or_strings("vendors") {
            None => root.fault(root.offset(), "`vendors` is missing", "list the vendors the site uses: vendors = [\"…\", \"…\"]"),
            Some(list) if list.len() == 1 && list[0].value == "all" => {
                all = true;
                declared = (0..vendors.len() as u16).map(VendorId).collect();
            }
            Some(list) => {
                for at in list {
                    match vendors.iter().position(|def| def.id == at.value) {
                        Some(index) => declared.insert(VendorId(index as u16)),
                        None => {
                            let mend = match nearest(&at.value, vendors.iter().map(|def| def.id.as_str())) {
                                Some(near) => format!("did you mean `{near}`?"),
                                None => "known vendors are the files in policies/vendors/".to_owned(),
                            };
                            root.fault(at.offset, format!("there is no vendor `{}`", at.value), mend);
                        }
                    }
                }
            }
        }
        let mut controller = Controller::default();
        let mut controller_offset = root.offset();
        if let Some(mut section) = root.section("controller") {
            controller_offset = section.offset();
            let mut text = |key| section.string(key).map(|at| at.value.trim().to_owned()).unwrap_or_default();
            controller.name = text("name");
            controller.address = text("address");
            controller.contact = text("contact");
            controller.dpo = text("dpo");
            let policy = section.string("privacy_policy");
            if let Some(at) = policy {
                if is_web_address(&at.value) {
                    controller.privacy_policy = at.value;
                } else {
                    section.fault(
                        at.offset,
                        "`controller.privacy_policy` is neither an http(s) address nor a path",
                        "write \"https://…\" or \"/privacy\"",
                    );
                }
            }
            section.finish();
        }
        (Site { controller, declared }, all, controller_offset)
    });
    faults.append(&mut found);
    let (site, all, controller_offset) = site;
    if all {
        warnings.push(Fault::at(
            FILE,
            text,
            text.find("vendors").unwrap_or(0),
            "`vendors = \"all\"` offers every known vendor in the notice: consent to vendors the site does not use is not specific (GDPR article 4(11))",
            "list the vendors the site uses; `consentry explain URL` names those on a page",
        ));
    }
    if site.controller.name.is_empty() || site.controller.contact.is_empty() {
        warnings.push(Fault::at(
            FILE,
            text,
            controller_offset,
            "the controller has no name or no contact: an informed consent needs both (GDPR recital 42)",
            "fill in [controller] name and contact",
        ));
    }
    Some(site)
}

/// Empty, a path on this origin, or an absolute http(s) URL: what a link in a notice may carry.
fn is_web_address(text: &str) -> bool {
    text.is_empty()
        || text.starts_with('/') && !text.starts_with("//") && !text.contains('\\')
        || url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}
