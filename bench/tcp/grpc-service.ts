/** The service of the gRPC contestant: an object echoed, and bytes echoed. */
import { loadPackageDefinition, type ServiceClientConstructor } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";

const SCHEMA = {
  nested: {
    Small: {
      fields: { id: { type: "int32", id: 1 }, op: { type: "string", id: 2 }, by: { type: "int32", id: 3 } },
    },
    Body: { fields: { bytes: { type: "bytes", id: 1 } } },
    Echo: {
      methods: {
        small: { requestType: "Small", responseType: "Small", comment: "" },
        body: { requestType: "Body", responseType: "Body", comment: "" },
      },
    },
  },
};

const { Echo } = loadPackageDefinition(fromJSON(SCHEMA, { keepCase: true }));

export const EchoClient = Echo as ServiceClientConstructor;
