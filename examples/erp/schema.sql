-- The example ERP: a rate card and a job ledger. Running it again changes nothing.
CREATE TABLE IF NOT EXISTS labour_rate (
    activity text PRIMARY KEY,
    hourly_rate numeric(10, 2) NOT NULL CHECK (hourly_rate >= 0)
);
CREATE TABLE IF NOT EXISTS job_ledger (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_key text NOT NULL UNIQUE,
    case_id text NOT NULL,
    activity text NOT NULL,
    worker text NOT NULL,
    work_date date NOT NULL,
    worked_seconds integer NOT NULL CHECK (worked_seconds > 0),
    amount numeric(18, 2) NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO labour_rate (activity, hourly_rate) VALUES
    ('Amend Purchase Requisition', 41.50),
    ('Amend Request for Quotation', 41.50),
    ('Analyze Purchase Requisition', 48.20),
    ('Analyze Quotation Comparison Map', 52.75),
    ('Analyze Request for Quotation', 52.75),
    ('Approve Purchase Order for payment', 145.00),
    ('Authorize Supplier''s Invoice payment', 145.00),
    ('Choose best option', 64.90),
    ('Confirm Purchase Order', 39.80),
    ('Create Purchase Order', 39.80),
    ('Create Purchase Requisition', 37.25),
    ('Create Quotation comparison Map', 46.10),
    ('Create Request for Quotation', 39.80),
    ('Deliver Goods Services', 28.50),
    ('Pay Invoice', 43.60),
    ('Release Purchase Order', 88.40),
    ('Release Supplier''s Invoice', 43.60),
    ('Send Invoice', 35.15),
    ('Send Request for Quotation to Supplier', 35.15),
    ('Settle Conditions With Supplier', 72.30),
    ('Settle Dispute With Supplier', 79.95)
ON CONFLICT (activity) DO NOTHING;
-- What the example council_spend.yaml writes: payments as the council publishes them, and its suppliers.
CREATE TABLE IF NOT EXISTS council_spend_line (
    line_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_key text NOT NULL UNIQUE,
    file text NOT NULL,
    line integer NOT NULL,
    body text,
    unit text,
    category text,
    code text,
    paid_date date,
    transaction text,
    kind text,
    supplier_id text,
    supplier_name text NOT NULL,
    supplier text NOT NULL,
    amount numeric(18, 2) NOT NULL
);
CREATE INDEX IF NOT EXISTS council_spend_line_supplier ON council_spend_line (supplier);
CREATE TABLE IF NOT EXISTS council_supplier (
    summary_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    summary_key text NOT NULL UNIQUE,
    folder text NOT NULL,
    supplier text NOT NULL,
    lines bigint NOT NULL CHECK (lines > 0),
    amount numeric(18, 2) NOT NULL
);
