"""A durable blueprint with an entity."""

import azure.durable_functions as df

blueprint = df.Blueprint()


@blueprint.entity_trigger(context_name="context")
def counter(context):
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
    elif context.operation_name == "fail":
        raise ValueError("the counter fails")
    context.set_state(value)
    context.set_result(value)
