// What a visitor and a keeper do, by the types that are made from the OpenAPI document: walk.js ADDRESS KEEPER PASSWORD
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };
const [address, keeper, password] = process.argv.slice(2) as [string, string, string];

function check(holds: boolean, what: unknown): asserts holds {
    if (!holds) throw new Error(JSON.stringify(what));
}

const anybody = createClient<paths>({ baseUrl: address });
const signedIn = await anybody.POST("/auth/jwt/login", {
    body: { username: keeper, password },
    bodySerializer: (form) => new URLSearchParams(form as Record<string, string>),
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
});
check(signedIn.data !== undefined, signedIn.error);
const client = createClient<paths>({
    baseUrl: address,
    headers: { Authorization: `Bearer ${signedIn.data.access_token}` },
});

const created = await client.POST("/animals", { body: { name: "Zuri" } });
check(created.data !== undefined, created.error);
const zuri: components["schemas"]["AnimalRead"] = created.data;
check(zuri.name === "Zuri" && zuri.exhibit_id === null && zuri.photo === null, zuri);
const read = await client.GET("/animals/{animal_id}", { params: { path: { animal_id: zuri.id } } });
check(read.data?.created_at === zuri.created_at, read);
const missing = await client.GET("/animals/{animal_id}", { params: { path: { animal_id: zuri.id + 1 } } });
check(missing.error?.detail === `No animal ${zuri.id + 1}`, missing.error);

const ordered = await client.POST("/orders", { body: { order: [{ product: "Tea", size: "small", quantity: 1 }] } });
check(ordered.data?.status === "created", ordered.error);
const listed = await client.GET("/orders");
check(listed.data?.orders[0]?.id === ordered.data.id, listed);
console.log("walked");
