// All that the public validation of checkpoint savers asks, of real nodes (DORMOUSE_URL, several with commas between), ROUNDS times.
import { validate } from "@langchain/langgraph-checkpoint-validation";

import { newSaver } from "./clients.js";

const ROUNDS = Number(process.env.ROUNDS ?? 1);

for (let round = 0; round < ROUNDS; round++) {
    validate({ checkpointerName: `DormouseSaver ${round}`, createCheckpointer: () => newSaver() });
}
