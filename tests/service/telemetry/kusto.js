// Says what is wrong with Kusto queries: an array of them comes in, an array of arrays of messages goes out.
// The parser is the one of the service's own editor; the table is the part of AppMetrics that is used.
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");

const { Symbols, GlobalState, KustoCode } = Kusto.Language;
const table = Symbols.TableSymbol.From(
  "(TimeGenerated: datetime, Name: string, Sum: real, ItemCount: int, Min: real, Max: real," +
    " AppRoleInstance: string, Properties: dynamic)",
).WithName("AppMetrics");
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", [table]));

function faults(query) {
  const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
  return Array.from({ length: found.Count }, (_, number) => found.getItem(number).Message);
}

const queries = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(queries.map(faults)));
