//! Pages to measure with: seeded, dense with tags, in the shape of a shop and of a news site.

/// A small generator of numbers (splitmix64): the pages must be the same on every machine.
pub struct Numbers(pub u64);

impl Numbers {
    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % limit
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 16] = [
            "river", "lamp", "and", "of", "the", "market", "blue", "chair", "with", "seven", "morning", "paper", "was", "never",
            "stone", "in",
        ];
        (0..count).map(|_| self.pick(&WORDS)).collect::<Vec<_>>().join(" ")
    }
}

/// A page of about `bytes` bytes.
pub fn page(kind: Kind, bytes: usize, seed: u64) -> String {
    let mut numbers = Numbers(seed);
    let mut page = head(&mut numbers);
    while page.len() < bytes {
        match kind {
            Kind::Shop => product(&mut page, &mut numbers),
            Kind::News => article(&mut page, &mut numbers),
        }
    }
    page.push_str("</main><footer><noscript><img height=1 width=1 src=\"https://www.facebook.com/tr?id=1&amp;noscript=1\"></noscript></footer></body></html>");
    page
}

/// The shape of a page.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Many short elements, images with candidates, data attributes.
    Shop,
    /// Paragraphs, links, scripts between them.
    News,
}

fn head(numbers: &mut Numbers) -> String {
    let mut head = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Measured</title>\n\
         <link rel=\"preconnect\" href=\"https://www.googletagmanager.com\">\n",
    );
    for n in 0..12 {
        head.push_str(&format!("<link rel=\"stylesheet\" href=\"/assets/{n}.{}.css\">\n", numbers.below(99999)));
        head.push_str(&format!("<script defer src=\"/assets/chunk-{}.js\"></script>\n", numbers.below(99999)));
        head.push_str(&format!("<meta property=\"og:x{n}\" content=\"{}\">\n", numbers.words(6)));
    }
    head.push_str("<script>!function(f,b,e,v,n,t,s){if(f.fbq)return;n=f.fbq=function(){}}(window,document,'script','https://connect.facebook.net/en_US/fbevents.js');fbq('init','1');</script>\n");
    head.push_str("<script async src=\"https://www.googletagmanager.com/gtag/js?id=G-1\"></script>\n");
    head.push_str(&format!(
        "<script type=\"application/ld+json\">{{\"@type\":\"Thing\",\"name\":\"{}\"}}</script>\n",
        numbers.words(80)
    ));
    head.push_str("</head>\n<body class=\"page\">\n<main>\n");
    head
}

fn product(page: &mut String, numbers: &mut Numbers) {
    let id = numbers.below(1_000_000);
    page.push_str(&format!(
        "<li class=\"card card--{}\" data-sku=\"{id}\" data-price=\"{}.99\">\n  <a class=\"card__link\" href=\"/p/{id}?ref=list&amp;pos={}\">\n    \
         <picture><source type=\"image/webp\" srcset=\"https://img.shop.example/{id}-320.webp 320w, https://img.shop.example/{id}-640.webp 640w\">\
         <img loading=\"lazy\" alt=\"{}\" width=\"320\" height=\"320\" src=\"https://img.shop.example/{id}.jpg?w=320&amp;q=80\"></picture>\n    \
         <h3 class=\"card__title\"><span>{}</span></h3>\n    <p class=\"card__text\">{}</p>\n    <span class=\"price\"><b>{}</b><sup>99</sup></span>\n  \
         </a>\n  <button type=\"button\" class=\"add\" aria-label=\"Add\"><svg width=\"16\" height=\"16\" viewBox=\"0 0 16 16\"><path d=\"M1 1h{}v2z\"/></svg></button>\n</li>\n",
        numbers.below(9),
        numbers.below(500),
        numbers.below(99),
        numbers.words(3),
        numbers.words(4),
        numbers.words(12),
        numbers.below(500),
        numbers.below(16),
    ));
}

fn article(page: &mut String, numbers: &mut Numbers) {
    let id = numbers.below(1_000_000);
    page.push_str(&format!(
        "<article id=\"a{id}\"><h2><a href=\"/news/{id}/\">{}</a></h2>\n<figure><img src=\"/media/{id}.jpg\" alt=\"{}\"><figcaption>{}</figcaption></figure>\n",
        numbers.words(7),
        numbers.words(5),
        numbers.words(10),
    ));
    for _ in 0..numbers.below(6) + 2 {
        let (before, link, after) = (numbers.words(40), numbers.words(3), numbers.words(30));
        page.push_str(&format!(
            "<p>{before} <a href=\"https://news.example/t/{}\">{link}</a> {after}</p>\n",
            numbers.below(9999)
        ));
    }
    if numbers.below(3) == 0 {
        page.push_str(&format!(
            "<script>window.ads=window.ads||[];ads.push({{slot:{id},text:\"{}\"}});</script>\n",
            numbers.words(60)
        ));
    }
    page.push_str("</article>\n");
}
