// Draws openapi.json with Swagger UI. Nothing comes from another server, and keys are not kept.
"use strict";

async function draw() {
  const reply = await fetch("openapi.json");
  const spec = await reply.json();
  // One server, this one: a list to choose from would be a control without a name.
  spec.servers = [{ url: new URL(".", location.href).pathname.replace(/\/$/, "") || "/" }];
  SwaggerUIBundle({
    spec,
    dom_id: "#api",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    persistAuthorization: false,
    validatorUrl: null,
    plugins: [() => ({ wrapComponents: { ServersContainer: () => () => null } })],
  });
}

draw().catch(() => {
  document.getElementById("api").textContent = "openapi.json could not be read.";
});
