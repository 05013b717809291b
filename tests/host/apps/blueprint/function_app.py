"""An app that is made of a blueprint."""

import azure.functions as func
from orders import blueprint

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(blueprint)
