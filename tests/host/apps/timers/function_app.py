"""Timer triggers of every kind. Each appends a line to the file that the setting JOURNAL names."""

import json
import os
import time

import azure.functions as func

app = func.FunctionApp()


def note(name, timer, context):
    entry = {
        "name": name,
        "past_due": timer.past_due,
        "status": timer.schedule_status,
        "schedule": timer.schedule,
        "retry": context.retry_context.retry_count if context else None,
        "at": time.time(),
    }
    with open(os.environ["JOURNAL"], "a", encoding="utf-8") as journal:
        journal.write(json.dumps(entry) + "\n")


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def every_second(timer: func.TimerRequest, context: func.Context) -> None:
    note("every_second", timer, context)
    # Longer than the interval: runs must not overlap.
    time.sleep(1.2)
    note("every_second_done", timer, context)


@app.timer_trigger(arg_name="timer", schedule="%RARE_SCHEDULE%", run_on_startup=True)
def at_start(timer: func.TimerRequest, context: func.Context) -> None:
    note("at_start", timer, context)


@app.timer_trigger(arg_name="timer", schedule="00:00:01")
async def by_span(timer: func.TimerRequest, context: func.Context) -> None:
    note("by_span", timer, context)


@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
def nightly(timer: func.TimerRequest, context: func.Context) -> None:
    note("nightly", timer, context)


@app.timer_trigger(arg_name="timer", schedule="0 30 3 * * *", use_monitor=False)
def unmonitored(timer: func.TimerRequest, context: func.Context) -> None:
    note("unmonitored", timer, context)


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:01")
def flaky(timer: func.TimerRequest, context: func.Context) -> None:
    note("flaky", timer, context)
    raise RuntimeError(f"try {context.retry_context.retry_count}")
