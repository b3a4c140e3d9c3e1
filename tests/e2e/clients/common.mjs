// What all clients are asked to do.
import { z } from "zod";

export const QUESTION = "Say hello.";
export const IMAGE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const Meeting = z.object({ topic: z.string(), people: z.array(z.string()) });
export const Place = z.object({ city: z.string() });
export const TOOL = { name: "weather", description: "The weather in a city." };

/** The tool. What it was called with stands in `seen.calls`. */
export const weather = (seen) => {
  seen.calls = [];
  return ({ city }) => {
    seen.calls.push(city);
    return `Sun in ${city}.`;
  };
};
