"""A blueprint in a module of its own."""

import azure.functions as func

blueprint = func.Blueprint()


@blueprint.route(route="orders/{number:int}", methods=[func.HttpMethod.GET])
def order(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"order {req.route_params['number']}")


@blueprint.function_name("renamed")
@blueprint.route(methods=["GET"])
def without_route(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("at the function's name")
