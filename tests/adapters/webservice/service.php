<?php
// A department's service on PHP's own SOAP server: STYLE in the environment says of which sort.
ini_set('soap.wsdl_cache_enabled', '0');
$style = getenv('STYLE');
$state = getenv('STATE');
if ($_SERVER['REQUEST_METHOD'] === 'GET') {
    header('Content-Type: text/xml');
    readfile(getenv('CONTRACT'));
    exit;
}
function records(int $from, int $count): array {
    $rows = [];
    for ($number = $from; $number < min($from + $count, 8); $number++) {
        $row = new stdClass();
        $row->no = $number;
        $row->owner = $number === 3 ? null : "张三 <&> 𠮷 $number";
        $row->amount = '12.50';
        $rows[] = $row;
    }
    return $rows;
}
class Literal {
    public function getRecords($request) {
        return ['result' => ['record' => records(1 + $request->size * ($request->page - 1), $request->size)], 'total' => 7];
    }
    public function getRecord($request) {
        $found = records($request->head->no, 1);
        return $found ? ['record' => $found[0]] : [];
    }
    public function pushRecords($request) {
        global $state;
        $seen = file_exists($state) ? json_decode(file_get_contents($state), true) : ['rows' => [], 'ids' => []];
        $twice = isset($seen['ids'][$request->messageId]);
        $records = $request->records->record ?? [];
        $records = is_array($records) ? $records : [$records];
        $bad = [];
        foreach ($records as $number => $record) {
            if ($record->owner === 'nobody') { $bad[] = ['row' => $number + 1, 'reason' => 'no such owner: nobody']; }
            elseif (!$twice) { $seen['rows'][] = $record; }
        }
        $seen['ids'][$request->messageId] = true;
        file_put_contents($state, json_encode($seen));
        return ['accepted' => count($records) - count($bad), 'duplicate' => $twice, 'bad' => $bad];
    }
}
class Encoded {
    public function getRecords($page, $size) { return records(1 + $size * ($page - 1), $size); }
    public function getXml($page, $size) {
        $xml = '<?xml version="1.0" encoding="GBK"?><list>';
        foreach (records(1 + $size * ($page - 1), $size) as $row) {
            $xml .= '<rec id="' . $row->no . '"><owner>' . htmlspecialchars($row->owner ?? '') . '</owner></rec>';
        }
        return $xml . '</list>';
    }
}
$server = new SoapServer(getenv('CONTRACT'), ['features' => SOAP_SINGLE_ELEMENT_ARRAYS]);
$server->setObject($style === 'encoded' ? new Encoded() : new Literal());
$server->handle();
