"""What evalkit changes about lm-eval's tools changes no result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks._lm_eval_tasks import compile_templates_once

TEMPLATE = "{% if n %}{{ n }}{% else %}none{% endif %}: {{ text|regex_replace('a', 'b') }}\n"


@given(st.text(), st.integers(0, 3))
def test_remembered_templates_render_as_new_ones(text: str, n: int) -> None:
    """Oracle: the environment's own class, which compiles anew."""
    from lm_eval.utils import apply_template, env

    compile_templates_once()
    fresh = type(env).from_string(env, TEMPLATE).render(n=n, text=text)
    assert apply_template(TEMPLATE, {"n": n, "text": text}) == fresh


def test_a_template_is_compiled_once() -> None:
    from lm_eval.utils import apply_template, env

    compile_templates_once()
    compile_templates_once()
    template = "a template of this test: {{ n }}"
    before = env.from_string.cache_info().misses
    assert [apply_template(template, {"n": n}) for n in range(9)][8] == template[:-7] + "8"
    assert env.from_string.cache_info().misses == before + 1
