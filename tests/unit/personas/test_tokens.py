"""Token counts: an estimate from above, and the real tokenizer's exact number."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece

from personas.errors import PersonaError
from personas.tokens import estimate_tokens, sentencepiece_counter

REFERENCE_PROMPT = (
    "You are a wise and friendly teacher. Answer questions or provide advice in a clear and"
    " engaging way."
)
REFERENCE_TOKENS = 26  # with the model's own tokenizer, <system> marks included


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny tokenizer, trained on the spot."""
    prefix = tmp_path_factory.mktemp("tokenizer") / "tiny"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([REFERENCE_PROMPT, "we are open from nine to five"] * 20),
        model_prefix=str(prefix),
        vocab_size=60,
        character_coverage=1.0,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return prefix.with_suffix(".model")


def test_estimate_is_above_the_known_count_but_not_far() -> None:
    """The reference's default prompt has a published count."""
    assert REFERENCE_TOKENS <= estimate_tokens(REFERENCE_PROMPT) <= 1.3 * REFERENCE_TOKENS


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 6),
        ("open", 7),
        ("appointment", 8),
        ("Alexandra", 9),
        ("2026", 10),
        ("a, b.", 10),
        ("NVIDIA", 12),
        ("é", 8),
        ("日本", 12),
    ],
)
def test_estimate_counts_words_names_digits_and_signs(text: str, tokens: int) -> None:
    """Six tokens are the marks'; the rest is the text's."""
    assert estimate_tokens(text) == tokens


def test_estimate_grows_with_the_text() -> None:
    """More text never costs less."""
    words = REFERENCE_PROMPT.split()
    counts = [estimate_tokens(" ".join(words[:n])) for n in range(len(words))]
    assert counts == sorted(counts)


def test_tokenizer_counts_text_with_its_marks(model_file: Path) -> None:
    """Exactly what the engine will feed: `<system> TEXT <system>`."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
    text = "we are open from nine to five"
    assert sentencepiece_counter(model_file)(text) == len(
        processor.encode("<system> we are open from nine to five <system>")
    )


def test_missing_tokenizer_is_named(tmp_path: Path) -> None:
    """A wrong path shows at start-up."""
    with pytest.raises(PersonaError, match=r"gone\.model: cannot be read as a sentencepiece"):
        sentencepiece_counter(tmp_path / "gone.model")


def test_another_file_is_no_tokenizer(tmp_path: Path) -> None:
    """For instance a web page that was saved in its place."""
    path = tmp_path / "page.model"
    path.write_text("<html>please log in</html>")
    with pytest.raises(PersonaError, match=r"page\.model: cannot be read as a sentencepiece"):
        sentencepiece_counter(path)
