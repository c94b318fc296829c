"""The dialogue of a persona that has none: it says what it is and finds a person.

It knows nothing of the persona but its name; a language model, where one is configured, answers
the rest.
"""

from __future__ import annotations

from engine.cascade.script import FollowUp, Intent, Reply, Script

HANDOFF_OFFER = FollowUp("Would you like me to put you through to a colleague?", yes="human")


def stand_in(persona: str) -> Script:
    """Returns a script for control only: greeting, repeat, colleague, goodbye, and regrets.

    Args:
        persona: its slug; used for nothing but the topic of the greeting.
    """
    intents = (
        Intent(
            "greeting",
            "saying hello",
            ("hello", "hi there", "good morning", "good afternoon", "hey", "is anyone there"),
            ("Hello! How can I help you?",),
        ),
        Intent(
            "human",
            "speaking with a colleague",
            (
                "i want to speak to a human",
                "can i talk to a real person",
                "let me speak to a manager",
                "transfer me to an agent",
                "operator",
                "put me through to somebody",
            ),
            ("Of course. I'll put you through to a colleague. One moment, please.",),
            action="handoff",
        ),
        Intent(
            "goodbye",
            "ending the call",
            (
                "goodbye",
                "bye bye",
                "that's all",
                "have a nice day",
                "i have to go",
                "thank you bye",
            ),
            ("Thank you for calling. Goodbye!",),
            action="hangup",
        ),
        Intent(
            "who_are_you",
            "who I am",
            ("are you a robot", "who is this", "am i talking to a computer", "what is your name"),
            ("I'm an automated voice assistant. I can find you a colleague.",),
        ),
        # Whatever is no small talk. Without it the nearest of the others would be taken, and the
        # nearest to an honest question must not be the end of the call.
        Intent(
            "question",
            "a question that I can't answer",
            (
                "do you guys open on saturdays at all",
                "what are your opening hours",
                "when do you close today",
                "how much does it cost",
                "what is the price of that",
                "what is my account balance",
                "where are you located",
                "can i change my booking",
                "i want to make an appointment for tuesday",
                "i have a problem with my order",
                "my bill is wrong",
                "it does not work any more",
                "is there a fee for that",
                "which documents do i need to bring",
                "could you check something for me",
                "i lost my card",
            ),
            ("I'm sorry, I can't answer that on this line.",),
            follow_up=HANDOFF_OFFER,
        ),
    )
    return Script(
        intents={intent.name: intent for intent in intents},
        yes=Reply(
            ("yes", "yeah", "yes please", "sure", "of course"), "Good. What can I do for you?"
        ),
        no=Reply(("no", "nope", "no thanks", "not really"), "All right."),
        repeat=Reply(
            ("can you repeat that", "say that again", "pardon", "i didn't catch that"),
            "Of course. {previous}",
        ),
        did_you_mean="Just to be sure: is this about {topic}?",
        corrected="Sorry about that. Let's go through it again.",
        fallbacks=(
            "I'm sorry, I can't answer that on this line. Could you say it in other words?",
        ),
        handoff_offer=HANDOFF_OFFER,
        silence_prompts=("Are you still there?", "I can't hear you. Is there anything I can do?"),
        goodbye="I'll end the call now. Thank you for calling. Goodbye!",
    )
