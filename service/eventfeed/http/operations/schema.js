SwaggerUIBundle({ url: "/schema/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null });
