import pytest

from mesh.agent import Agent, Result


def test_a_skill_stays_a_plain_function() -> None:
    agent = Agent("a")

    @agent.skill(version="2", timeout=1.5, retries=0, slots=4)
    def double(n: int) -> int:
        """Doubles a number.

        And more about it.
        """
        return 2 * n

    assert double(4) == 8
    declared = agent.skills["double", "2"].declaration()
    assert (declared.timeout_ms, declared.retries, declared.slots) == (1500, 0, 4)
    assert declared.description == "Doubles a number."


def test_one_name_and_version_is_one_skill() -> None:
    agent = Agent("a")
    agent.skill(name="x")(lambda: 1)
    agent.skill(name="x", version="2")(lambda: 2)
    with pytest.raises(ValueError, match="already"):
        agent.skill(name="x")(lambda: 3)


@pytest.mark.parametrize("limits", [{"slots": 0}, {"retries": -1}, {"timeout": 0}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="skill x"):
        Agent("a").skill(name="x", **limits)(lambda: 1)  # type: ignore[call-overload]  # on purpose


def test_a_generator_is_no_handler() -> None:
    def numbers():  # type: ignore[no-untyped-def]  # a generator, whatever it yields
        yield 1

    with pytest.raises(TypeError, match="yield"):
        Agent("a").skill(numbers)


def test_confidence_is_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="confidence"):
        Result(1, confidence=2)
