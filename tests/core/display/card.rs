//! The card that notebooks show.

use quantray_core::display::{CardStats, QParamsText, html};

const PER_TENSOR: QParamsText<'_> = QParamsText::PerTensor { scale: 0.1, zero_point: 100 };

fn stats(histogram: &[u64]) -> CardStats<'_> {
    let numel = histogram.iter().sum();
    let (first, last) = (histogram.first().copied(), histogram.last().copied());
    CardStats {
        histogram,
        qmin: 0,
        qmax: 255,
        clipped_low: first.unwrap_or(0),
        clipped_high: last.unwrap_or(0),
        numel,
    }
}

fn card(shape: &[usize], stats: Option<&CardStats<'_>>) -> String {
    html(
        shape,
        "quint8",
        "per_tensor_affine",
        &PER_TENSOR,
        shape.iter().product::<usize>() as u64,
        stats,
        "text",
    )
}

#[test]
fn a_card_tells_what_there_is_to_know() {
    let mut histogram: Vec<u64> = (0..256).map(|i| i % 128).collect();
    histogram[0] = 200;
    let card = card(&[64, 254], Some(&stats(&histogram)));
    for part in [
        "<strong>QTensor</strong> 64 × 254",
        ">quint8<",
        ">per_tensor_affine<",
        ">0.1<",
        ">100<",
        "15.9 KiB, 4.0x smaller than float32",
        "role=\"img\" aria-label=\"Histogram of the codes, from 0 to 255, peak at 124 to 127\"",
        ">code 0</text>",
        ">code 255</text>",
        ">zero: 100</text>",
        "1.2% of codes are 0, 0.8% are 255; these may have been clipped",
        "<details>",
    ] {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
    for part in ["<script", "<style", "prefers-color-scheme", "NaN", "inf"] {
        assert!(!card.contains(part), "{part} in\n{card}");
    }
    assert!(card.len() < 5000, "{} bytes", card.len());
}

#[test]
fn a_card_is_well_formed_whatever_the_names() {
    let text = "<script>alert(\"1\") && '2'</script>";
    let histogram = [1; 256];
    let card = html(&[256], text, text, &PER_TENSOR, 256, Some(&stats(&histogram)), text);
    let escaped = "&lt;script&gt;alert(&quot;1&quot;) &amp;&amp; &#39;2&#39;&lt;/script&gt;";
    assert_eq!(card.matches(escaped).count(), 3);
    let mut open = Vec::new();
    for tag in card.split('<').skip(1) {
        let name = tag.split([' ', '>', '/']).find(|name| !name.is_empty()).unwrap_or("");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.split('>').next().is_some_and(|tag| tag.ends_with('/')) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_card_of_nothing_says_so() {
    let empty = card(&[0, 3], Some(&stats(&[0; 256])));
    assert!(empty.contains("the tensor is empty") && !empty.contains("<svg") && !empty.contains("clipped"));
    assert!(!card(&[], None).contains("codes"));
    assert!(card(&[], None).contains("scalar"));
    // Counts that do not belong to the tensor must not break the card.
    for histogram in [&[][..], &[0; 3], &[u64::MAX; 300]] {
        let odd = CardStats { qmin: i64::MIN, qmax: i64::MAX, numel: 5, ..stats(&[]) };
        assert!(!card(&[5], Some(&CardStats { histogram, ..odd })).contains("NaN"));
    }
}

#[test]
fn a_card_is_honest_about_the_ends() {
    let with = |low, high, numel| {
        let stats = CardStats { clipped_low: low, clipped_high: high, numel, ..stats(&[1]) };
        card(&[5], Some(&stats))
    };
    assert!(with(0, 0, 9).contains("no code is 0 or 255: nothing was clipped"));
    assert!(with(1, 0, 100_000).contains("&lt;0.1% of codes are 0 and may have been clipped"));
    assert!(with(0, 99_999, 100_000).contains("&gt;99.9% of codes are 255 and may"));
    assert!(with(5, 0, 5).contains("100% of codes are 0 "));
}

#[test]
fn a_card_sums_up_channels() {
    let (scales, zero_points) = ([0.0144, 0.0957, 1.0 / 30.0], [0; 3]);
    let qparams = QParamsText::PerChannel { scales: &scales, zero_points: &zero_points, axis: 1 };
    let card = html(&[2, 3], "qint8", "per_channel_affine", &qparams, 6, None, "");
    for part in [">3, along axis 1<", ">0.0144 to 0.0957<", ">0 in every channel<"] {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
    let qparams = QParamsText::PerChannelFloat { scales: &[1.0 / 3.0], zero_points: &[1.5], axis: 0 };
    let card = html(&[1, 8], "quint4x2", "per_channel_affine_float_qparams", &qparams, 4, None, "");
    for part in [">1, along axis 0<", ">0.3333<", ">1.5<", "4 B, 8.0x smaller"] {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
    let none = QParamsText::PerChannel { scales: &[], zero_points: &[], axis: 0 };
    assert!(html(&[0], "qint8", "per_channel_affine", &none, 0, None, "").contains("0, along axis 0"));
}
